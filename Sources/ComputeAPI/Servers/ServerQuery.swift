import CloudModel
import FoundationEssentials
import HTTPKit
import Primitives

/// The query of a list of servers, as the directory understands it.
struct ServerQuery {
    private let request: ComputeRequest
    private let query: QueryParameters

    /// What anybody may filter by; the rest is for administrators and silently ignored for others, as Nova does.
    private static let common: Set<String> = [
        "reservation_id", "name", "status", "image", "flavor", "ip", "ip6", "changes-since", "changes-before", "tags",
        "tags-any", "not-tags", "not-tags-any", "locked",
    ]
    private static let commonFrom83: Set<String> = [
        "availability_zone", "config_drive", "key_name", "created_at", "launched_at", "terminated_at", "power_state",
        "task_state", "vm_state", "progress", "user_id",
    ]
    /// All that has a meaning somewhere: what else there is, is refused from 2.75 on.
    private static let known: Set<String> = common.union(commonFrom83).union([
        "limit", "marker", "sort_key", "sort_dir", "all_tenants", "project_id", "tenant_id", "deleted", "uuid", "host",
        "hostname", "node", "description", "display_name", "display_description", "image_ref", "access_ip_v4",
        "access_ip_v6", "auto_disk_config", "kernel_id", "ramdisk_id", "launch_index", "locked_by", "root_device_name",
        "soft_deleted",
    ])

    init(_ request: ComputeRequest) throws(APIFault) {
        self.request = request
        query = request.query
        var known = Self.known
        if request.version < 66 { known.remove("changes-before") }
        if request.version < 73 { known.remove("locked") }
        try request.checkQuery(Array(known), strictFrom: 75)
    }

    /// Nil when nothing can match.
    func directoryQuery(limit: Int) throws(APIFault) -> DirectoryQuery? {
        var result = DirectoryQuery(projectID: try project(), sort: try sort(), limit: limit)
        var filters: [DirectoryFilter] = []
        do throws(NoMatch) {
            try addText(&filters)
            try addIDs(&filters)
        } catch {
            return nil
        }
        guard try addStates(&filters), try addTimes(&filters, &result) else { return nil }
        try addTags(&filters)
        if request.version >= 73, let text = value("locked") {
            guard let flag = QueryParameters.bool(text) else {
                throw .badRequest("Invalid input for query parameter locked: '\(text.prefix(100))' is not a boolean.")
            }
            filters.append(.isLocked(flag))
        }
        result.filters = filters
        return result
    }

    private struct NoMatch: Error {}

    /// The value of a filter that the caller may use.
    private func value(_ name: String) -> String? {
        let isAllowed =
            request.isAdmin || Self.common.contains(name)
            || (request.version >= 83 && Self.commonFrom83.contains(name))
        return isAllowed ? query[name] : nil
    }

    /// Whose servers: the caller's, unless an administrator asks for another project's or all.
    private func project() throws(APIFault) -> ProjectID? {
        var wantsAll = false
        if let text = query["all_tenants"] {
            guard let flag = text.isEmpty ? true : QueryParameters.bool(text) else {
                throw .badRequest("Invalid value '\(text.prefix(100))' for all_tenants.")
            }
            wantsAll = flag
        }
        guard request.isAdmin else {
            if wantsAll { throw request.forbidden() }
            return request.project
        }
        if let other = query["project_id"] ?? query["tenant_id"] { return ProjectID(other) }
        return wantsAll ? nil : request.project
    }

    private func addText(_ filters: inout [DirectoryFilter]) throws(NoMatch) {
        if let text = value("name") ?? value("display_name") { filters.append(.nameMatches(text)) }
        if let text = value("hostname") { filters.append(.hostnameMatches(text)) }
        if let text = value("description") ?? value("display_description") {
            filters.append(.descriptionMatches(text))
        }
        if let text = value("ip") { filters.append(.addressMatches(text)) }
        if let text = request.isAdmin || request.version >= 5 ? value("ip6") : nil {
            filters.append(.addressMatches(text))
        }
        if let text = value("availability_zone") { filters.append(.availabilityZone(text)) }
        if let text = value("key_name") { filters.append(.keyName(text)) }
        if let text = value("reservation_id") { filters.append(.reservationID(text)) }
        if let text = value("user_id") { filters.append(.userID(UserID(text))) }
        if let text = value("host") ?? value("node") { filters.append(.host(HostName(text))) }
    }

    private func addIDs(_ filters: inout [DirectoryFilter]) throws(NoMatch) {
        if let text = value("image") ?? value("image_ref") {
            guard let id = ImageID(text) else { throw NoMatch() }
            filters.append(.imageID(id))
        }
        if value("flavor") != nil { filters.append(.flavorIDs(query.all("flavor"))) }
        if value("uuid") != nil { filters.append(.ids(query.all("uuid").compactMap { ServerID($0) })) }
    }

    /// False when nothing can match.
    private func addStates(_ filters: inout [DirectoryFilter]) throws(APIFault) -> Bool {
        if value("status") != nil {
            let statuses = query.all("status").map { $0.uppercased() }
            let valid = statuses.filter(Self.statuses.contains)
            if valid.isEmpty {
                if request.version >= 38 { throw .badRequest("Invalid status value") }
                return false
            }
            if valid.contains("DELETED"), !request.isAdmin { throw request.forbidden() }
            filters.append(.statuses(valid))
        }
        if let text = value("vm_state") {
            guard let state = VMState(rawValue: text) else { return false }
            filters.append(.vmStates([state]))
        }
        if let text = value("task_state") {
            guard let state = TaskState(rawValue: text) else { return false }
            filters.append(.taskStates([state]))
        }
        if let text = value("power_state") {
            guard let code = Int(text) else { throw .badRequest("Invalid filter power_state: it must be a number.") }
            guard let state = PowerState(rawValue: code) else { return false }
            filters.append(.powerStates([state]))
        }
        return true
    }

    private func addTimes(_ filters: inout [DirectoryFilter], _ result: inout DirectoryQuery) throws(APIFault) -> Bool {
        let wantsDeletedStatus = filters.contains { filter in
            if case .statuses(let statuses) = filter { statuses.contains("DELETED") } else { false }
        }
        if wantsDeletedStatus { result.deleted = .include }
        var since: Date?
        if let text = value("changes-since") {
            let date = try Self.date(text, "changes-since")
            since = date
            filters.append(.changedSince(date))
            // Who follows changes must learn of deletions.
            result.deleted = .include
        }
        if request.version >= 66, let text = value("changes-before") {
            let date = try Self.date(text, "changes-before")
            if let since, since > date {
                throw .badRequest("The value of changes-since must be less than or equal to changes-before.")
            }
            filters.append(.changedBefore(date))
        }
        if let text = value("deleted") {
            guard let flag = QueryParameters.bool(text) else {
                throw .badRequest("Invalid value '\(text.prefix(100))' for deleted.")
            }
            if flag { result.deleted = .only } else if since == nil && !wantsDeletedStatus { result.deleted = .exclude }
        }
        return true
    }

    private func addTags(_ filters: inout [DirectoryFilter]) throws(APIFault) {
        guard request.version >= 26 else { return }
        func tags(_ name: String) -> [String]? {
            query[name].map { $0.split(separator: ",").map(String.init) }.flatMap { $0.isEmpty ? nil : $0 }
        }
        if let list = tags("tags") { filters.append(.hasAllTags(list)) }
        if let list = tags("tags-any") { filters.append(.hasAnyTag(list)) }
        if let list = tags("not-tags") { filters.append(.lacksSomeTag(list)) }
        if let list = tags("not-tags-any") { filters.append(.lacksAllTags(list)) }
    }

    private func sort() throws(APIFault) -> [DirectorySort] {
        let names = query.all("sort_key")
        let directions = query.all("sort_dir")
        guard !names.isEmpty else {
            guard let direction = directions.first else { return [] }
            return [DirectorySort(.createdAt, isAscending: try Self.isAscending(direction))]
        }
        guard directions.count <= names.count else {
            throw .badRequest("Sort direction size exceeds sort key size")
        }
        var sort: [DirectorySort] = []
        for (index, name) in names.enumerated() {
            let direction = index < directions.count ? directions[index] : directions.first ?? "desc"
            let isAscending = try Self.isAscending(direction)
            if Self.constantKeys.contains(name) { continue }
            guard let key = Self.sortKeys[name], name != "locked" || request.version >= 73 else {
                throw .badRequest("Invalid input for query parameters sort_key. Value: \(name.prefix(100)).")
            }
            sort.append(DirectorySort(key, isAscending: isAscending))
        }
        return sort
    }

    private static func isAscending(_ text: String) throws(APIFault) -> Bool {
        switch text {
        case "asc": true
        case "desc": false
        default: throw .badRequest("Invalid input for query parameters sort_dir. Value: \(text.prefix(100)).")
        }
    }

    private static func date(_ text: String, _ name: String) throws(APIFault) -> Date {
        guard let date = Timestamp.parse(text) else {
            throw .badRequest("Invalid input for query parameters \(name). Value: \(text.prefix(100)).")
        }
        return date
    }

    private static let statuses: Set<String> = [
        "ACTIVE", "BUILD", "DELETED", "ERROR", "HARD_REBOOT", "MIGRATING", "PASSWORD", "PAUSED", "REBOOT", "REBUILD",
        "RESCUE", "RESIZE", "REVERT_RESIZE", "SHELVED", "SHELVED_OFFLOADED", "SHUTOFF", "SOFT_DELETED", "SUSPENDED",
        "UNKNOWN", "VERIFY_RESIZE",
    ]

    private static let sortKeys: [String: DirectorySort.Key] = [
        "availability_zone": .availabilityZone, "created_at": .createdAt, "display_description": .description,
        "display_name": .name, "host": .host, "hostname": .hostname, "image_ref": .imageID,
        "instance_type_id": .flavorID, "key_name": .keyName, "launched_at": .launchedAt, "locked": .isLocked,
        "locked_by": .isLocked, "node": .host, "power_state": .powerState, "project_id": .projectID,
        "task_state": .taskState, "terminated_at": .terminatedAt, "updated_at": .updatedAt, "user_id": .userID,
        "uuid": .id, "vm_state": .vmState,
    ]

    /// What the API lets clients sort by and is the same for all our servers.
    private static let constantKeys: Set<String> = [
        "access_ip_v4", "access_ip_v6", "auto_disk_config", "config_drive", "kernel_id", "launch_index", "progress",
        "ramdisk_id", "root_device_name",
    ]
}

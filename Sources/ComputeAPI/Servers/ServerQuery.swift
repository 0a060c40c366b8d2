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
    private static let commonFrom90: Set<String> = ["hostname"]
    /// What Nova keeps in other tables and refuses to filter by.
    private static let joined: Set<String> = [
        "block_device_mapping", "services", "metadata", "system_metadata", "info_cache", "security_groups",
        "pci_devices",
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
        for item in query.items where Self.joined.contains(item.name) || item.name.hasPrefix("_") {
            guard request.isAdmin else { continue }
            throw .badRequest("Invalid filter field: \(item.name.prefix(100)).")
        }
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
            || (request.version >= 90 && Self.commonFrom90.contains(name))
        // Of several values the last one counts.
        return isAllowed ? query.all(name).last : nil
    }

    /// Whose servers: the caller's, unless an administrator asks for another project's or all.
    private func project() throws(APIFault) -> ProjectID? {
        var wantsAll = false
        if let text = query.all("all_tenants").last {
            guard let flag = text.isEmpty ? true : QueryParameters.bool(text) else {
                throw .badRequest("Invalid value '\(text.prefix(100))' for all_tenants.")
            }
            wantsAll = flag
        }
        guard request.isAdmin else {
            if wantsAll { throw request.forbidden() }
            return request.project
        }
        // Without all_tenants the caller's own project counts, whatever else is named.
        guard wantsAll else { return request.project }
        return (query.all("project_id").last ?? query.all("tenant_id").last).map { ProjectID($0) }
    }

    private func addText(_ filters: inout [DirectoryFilter]) throws(NoMatch) {
        if let text = value("name") ?? value("display_name") { filters.append(.nameMatches(text)) }
        if let text = value("hostname") { filters.append(.hostnameMatches(text)) }
        if let text = value("description") ?? value("display_description") {
            filters.append(.descriptionMatches(text))
        }
        if let text = value("ip") { filters.append(.addressMatches(text)) }
        if let text = request.isAdmin || request.version >= 5 ? value("ip6") : nil {
            filters.append(.address6Matches(text))
        }
        if let text = value("availability_zone") { filters.append(.zoneMatches(text)) }
        if let text = value("key_name") { filters.append(.keyNameMatches(text)) }
        if let text = value("reservation_id") { filters.append(.reservationMatches(text)) }
        if let text = value("user_id") { filters.append(.userID(UserID(text))) }
        if let text = value("host") { filters.append(.host(HostName(text))) }
        if let text = value("node") { filters.append(.nodeMatches(text)) }
        for (name, time) in [
            ("created_at", DirectoryTime.created), ("launched_at", .launched), ("terminated_at", .terminated),
        ] {
            if let text = value(name) { filters.append(.timeMatches(time, Self.timePattern(text))) }
        }
    }

    /// Nova compares with a date as its database writes it; ISO 8601 is understood too.
    private static func timePattern(_ text: String) -> String {
        guard text.count >= 19, Timestamp.parse(text) != nil else { return text }
        return "^" + text.prefix(19).replacing("T", with: " ") + "$"
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
        if filters.contains(.statuses(["DELETED"])) || filters.contains(.vmStates([.deleted])) {
            result.deleted = .only
        }
        let wantsDeleted = result.deleted == .only
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
            result.deleted = .include
        }
        if let text = value("deleted") {
            result.deleted = QueryParameters.bool(text) == true || wantsDeleted ? .only : .exclude
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
            let isIgnored = Self.ignoredKeys.contains(name) || (name == "locked" && request.version < 73)
            if isIgnored, request.version < 75 { continue }
            if ["host", "node"].contains(name), !request.isAdmin {
                throw .forbidden("Only administrators can sort servers by \(name)")
            }
            guard let key = Self.sortKeys[name] else {
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

    /// What clients could sort by before the API checked it.
    private static let ignoredKeys: Set<String> = [
        "architecture", "cell_name", "cleaned", "default_ephemeral_device", "default_swap_device", "deleted",
        "deleted_at", "disable_terminate", "ephemeral_gb", "ephemeral_key_uuid", "id", "key_data", "launched_on",
        "memory_mb", "os_type", "reservation_id", "root_gb", "shutdown_terminate", "user_data", "vcpus", "vm_mode",
    ]

    /// What the API lets clients sort by and is the same for all our servers.
    private static let constantKeys: Set<String> = [
        "access_ip_v4", "access_ip_v6", "auto_disk_config", "config_drive", "kernel_id", "launch_index", "progress",
        "ramdisk_id", "root_device_name",
    ]
}

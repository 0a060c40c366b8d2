import CellProtocol
import CloudModel
import FoundationEssentials
import PostgresClient

/// The directory's filters and sort keys as SQL. Column names are this file's own text; every value is bound.
enum DirectorySQL {
    static let rows = """
        select i.*, b.build from directory.instances i left join scheduler.build_requests b on b.instance_id = i.id
        """

    /// Cells whose rows are not all there: a column of its own, so that rows and gaps are of one moment.
    static let gaps = """
        (select coalesce(array_agg(g.cell order by g.cell), '{}') from directory.gaps g
            where g.cell = '/' or exists (select from directory.cells c where c.path = g.cell)) as gaps
        """

    /// Of ``DirectoryAudit``, over rows with `id` and `vm_state` that go by the name `i`.
    static let digest = """
        coalesce(mod(sum(('x' || substr(i.id::text, 1, 8))::bit(32)::bigint * length(i.vm_state)),
            \(DirectoryAudit.modulus)), 0)::bigint
        """

    /// Which rows count in an audit: those that were built and are not deleted.
    static let counts =
        "deleted_at is null and vm_state <> 'building' and not (vm_state = 'error' and launched_at is null)"

    static func standing(_ row: Row) throws -> CellStanding {
        CellStanding(
            path: try PostgresRootStore.cell(row.get("path")),
            health: CellStatus.Health(rawValue: try row.get("health")) ?? .down, reason: try row.get("reason"),
            since: try row.get("since"),
            heartbeat: try row.isNull("heartbeat") ? nil : try row.document("heartbeat", as: CellHeartbeat.self))
    }

    static func audit(_ row: Row) throws -> DirectoryAudit {
        DirectoryAudit(
            sequence: try row.get("sequence"), servers: Int(try row.get("servers", as: Int64.self)),
            digest: try row.get("digest"))
    }

    struct Order {
        let column: String
        /// What stands for NULL, so that the order is total; nil for columns that are never NULL.
        let null: String?
        let isAscending: Bool

        var expression: String { expression(of: "i") }
        func sql(of alias: String) -> String { "\(expression(of: alias)) \(isAscending ? "asc" : "desc")" }

        func expression(of alias: String) -> String {
            guard let null else { return "\(alias).\(column)" }
            return "coalesce(\(alias).\(column), \(null))"
        }
    }

    /// The order asked for, then creation time and id, newest first.
    static func order(_ sort: [DirectorySort]) -> [Order] {
        var keys = sort.map { Order(column: column($0.key), null: null($0.key), isAscending: $0.isAscending) }
        for column in ["created_at", "id"] where !keys.contains(where: { $0.column == column }) {
            keys.append(Order(column: column, null: nil, isAscending: false))
        }
        return keys
    }

    private static func column(_ key: DirectorySort.Key) -> String {
        switch key {
        case .createdAt: "created_at"
        case .updatedAt: "updated_at"
        case .launchedAt: "launched_at"
        case .terminatedAt: "terminated_at"
        case .name: "name"
        case .description: "description"
        case .id: "id"
        case .vmState: "vm_state"
        case .taskState: "task_state"
        case .powerState: "power_state"
        case .host: "host"
        case .hostname: "hostname"
        case .flavorID: "flavor_id"
        case .imageID: "image_id"
        case .projectID: "project_id"
        case .userID: "user_id"
        case .availabilityZone: "availability_zone"
        case .keyName: "key_name"
        case .isLocked: "is_locked"
        }
    }

    private static func null(_ key: DirectorySort.Key) -> String? {
        switch key {
        case .launchedAt, .terminatedAt: "'-infinity'::timestamptz"
        case .description, .taskState, .host, .availabilityZone, .keyName: "''"
        case .imageID: "'00000000-0000-0000-0000-000000000000'::uuid"
        case .createdAt, .updatedAt, .name, .id, .vmState, .powerState, .hostname, .flavorID, .projectID, .userID,
            .isLocked:
            nil
        }
    }

    static func conditions(_ query: DirectoryQuery) -> [Statement] {
        var conditions: [Statement] = []
        switch query.deleted {
        case .exclude: conditions.append("i.deleted_at is null")
        case .only: conditions.append("i.deleted_at is not null")
        case .include: break
        }
        if let project = query.projectID { conditions.append("i.project_id = \(project.text)") }
        return conditions + query.filters.map(condition)
    }

    private static func condition(_ filter: DirectoryFilter) -> Statement {
        switch filter {
        case .nameMatches(let pattern): "i.name ~ \(pattern)"
        case .hostnameMatches(let pattern): "i.hostname ~ \(pattern)"
        case .descriptionMatches(let pattern): "coalesce(i.description, '') ~ \(pattern)"
        case .addressMatches(let pattern):
            "exists (select 1 from unnest(i.addresses) as a where position(':' in a) = 0 and a ~ \(pattern))"
        case .address6Matches(let pattern):
            "exists (select 1 from unnest(i.addresses) as a where position(':' in a) > 0 and a ~ \(pattern))"
        case .nodeMatches(let pattern):
            """
            i.host = any(array(select h.name from directory.hosts h
                where h.record -> 'inventory' ->> 'hypervisorHostname' ~ \(pattern)))
            """
        case .zoneMatches(let pattern): "i.availability_zone ~ \(pattern)"
        case .keyNameMatches(let pattern): "i.key_name ~ \(pattern)"
        case .reservationMatches(let pattern): "i.reservation_id ~ \(pattern)"
        case .timeMatches(let time, let pattern):
            "to_char(i.\(raw: column(time)) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS') ~ \(pattern)"
        case .ids(let ids): "i.id = any(\(ids))"
        case .statuses(let statuses): "i.status = any(\(statuses))"
        case .vmStates(let states): "i.vm_state = any(\(states.map(\.rawValue)))"
        case .taskStates(let states): "coalesce(i.task_state, '') = any(\(states.map { $0?.rawValue ?? "" }))"
        case .powerStates(let states): "i.power_state = any(\(states.map { Int64($0.rawValue) }))"
        case .host(let host): "i.host = \(host.text)"
        case .flavorIDs(let ids): "i.flavor_id = any(\(ids))"
        case .imageID(let id): "i.image_id = \(id)"
        case .availabilityZone(let zone): "i.availability_zone = \(zone)"
        case .keyName(let name): "i.key_name = \(name)"
        case .userID(let user): "i.user_id = \(user.text)"
        case .reservationID(let id): "i.reservation_id = \(id)"
        case .isLocked(let isLocked): "i.is_locked = \(isLocked)"
        case .hasAllTags(let tags): "i.tags @> \(tags)"
        case .hasAnyTag(let tags): "i.tags && \(tags)"
        case .lacksSomeTag(let tags): "not i.tags @> \(tags)"
        case .lacksAllTags(let tags): "not i.tags && \(tags)"
        case .changedSince(let date): "i.updated_at >= \(date)"
        case .changedBefore(let date): "i.updated_at <= \(date)"
        }
    }

    private static func column(_ time: DirectoryTime) -> String {
        switch time {
        case .created: "created_at"
        case .launched: "launched_at"
        case .terminated: "terminated_at"
        }
    }

    /// The regular expressions of a query, to name the one that PostgreSQL could not read.
    static func patterns(_ query: DirectoryQuery) -> [String] {
        query.filters.compactMap { filter in
            switch filter {
            case .nameMatches(let pattern), .hostnameMatches(let pattern), .descriptionMatches(let pattern),
                .addressMatches(let pattern), .address6Matches(let pattern), .nodeMatches(let pattern),
                .zoneMatches(let pattern), .keyNameMatches(let pattern), .reservationMatches(let pattern),
                .timeMatches(_, let pattern):
                pattern
            default: nil
            }
        }
    }

    static func row(_ row: Row) throws -> DirectoryRow {
        let cell: String? = try row.get("cell")
        let build = try row.isNull("build") ? nil : try row.json("build", as: UnplacedBuild.self).instance
        return DirectoryRow(
            summary: try summary(row), cell: try cell.map { try PostgresRootStore.cell($0) },
            unplaced: cell == nil ? build : nil)
    }

    /// The part of a stored build request that the API shows.
    private struct UnplacedBuild: Decodable {
        let instance: Instance
    }

    static func summary(_ row: Row) throws -> InstanceSummary {
        let vm: String = try row.get("vm_state")
        let task: String? = try row.get("task_state")
        let power: Int = try row.get("power_state")
        guard let vmState = VMState(rawValue: vm), let powerState = PowerState(rawValue: power) else {
            throw StoredValueError(what: "server state", value: vm)
        }
        let host: String? = try row.get("host")
        return InstanceSummary(
            id: try row.get("id"), version: try row.get("version"), projectID: ProjectID(try row.get("project_id")),
            userID: UserID(try row.get("user_id")), name: try row.get("name"), hostname: try row.get("hostname"),
            description: try row.get("description"),
            state: ServerState(vm: vmState, task: task.flatMap(TaskState.init(rawValue:)), power: powerState),
            status: try row.get("status"), host: host.map { HostName($0) }, flavorID: try row.get("flavor_id"),
            imageID: try row.get("image_id"), availabilityZone: try row.get("availability_zone"),
            keyName: try row.get("key_name"), addresses: try row.get("addresses"), tags: try row.get("tags"),
            isLocked: try row.get("is_locked"), reservationID: try row.get("reservation_id"),
            createdAt: try row.get("created_at"), updatedAt: try row.get("updated_at"),
            launchedAt: try row.get("launched_at"), terminatedAt: try row.get("terminated_at"),
            vcpus: try row.get("vcpus"), memoryMiB: try row.get("memory_mib"))
    }
}

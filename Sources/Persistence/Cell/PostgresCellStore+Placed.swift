import CellProtocol
package import CloudModel
package import FoundationEssentials
import PostgresClient
import Primitives
package import ServerLifecycle

// What hosts' words are compared with.
extension PostgresCellStore {
    private static let placedColumns = """
        i.id, i.host, i.vm_state, i.task_state, i.power_state, i.epoch, i.updated_at,
        (i.vm_state = 'error' and i.task_state is null and i.document -> 'launchedAt' is null and not exists (
            select from saga.sagas s where s.instance_id = i.id and s.state in ('live', 'parked'))) as is_failed_build
        """

    package func placed(on hosts: [HostName], or ids: [ServerID]) async throws(CellStoreError) -> [PlacedServer] {
        try await attempt {
            let rows = try await pool.query(
                """
                select \(raw: Self.placedColumns) from cell.instances i where i.id = any(\(ids))
                union
                select \(raw: Self.placedColumns) from cell.instances i
                where i.host = any(\(hosts.map(\.text))) and not i.is_deleted
                """)
            return try rows.map(Self.placedServer)
        }
    }

    package func ports(_ digits: [String]) async throws(CellStoreError) -> [String: PlacedPort] {
        try await attempt {
            let rows = try await pool.query(
                """
                select \(raw: Self.placedColumns), p.port::text as port, p.digits from cell.instances i,
                    lateral (
                        select value ->> 'portID' as port,
                            left(replace(lower(value ->> 'portID'), '-', ''), \(Int32(AgentHoldings.portDigits))) as digits
                        from json_array_elements(i.document -> 'interfaces')
                    ) p
                where p.digits = any(\(digits)) order by i.updated_at
                """)
            return try rows.reduce(into: [:]) { found, row in
                guard let port = PortID(try row.get("port", as: String.self)) else { return }
                found[try row.get("digits")] = PlacedPort(port: port, server: try Self.placedServer(row))
            }
        }
    }

    private static func placedServer(_ row: Row) throws -> PlacedServer {
        PlacedServer(
            id: try row.get("id"), host: try row.get("host", as: String?.self).map { HostName($0) },
            state: try state(row), epoch: try row.get("epoch"), updatedAt: try row.get("updated_at"),
            isFailedBuild: try row.get("is_failed_build"))
    }

    private static func state(_ row: Row) throws -> ServerState {
        let vm: String = try row.get("vm_state")
        let task: String? = try row.get("task_state")
        let power: Int = try row.get("power_state")
        guard let vmState = VMState(rawValue: vm), let powerState = PowerState(rawValue: power),
            task == nil || task.flatMap({ TaskState(rawValue: $0) }) != nil
        else { throw StoredValueError(what: "server state", value: "\(vm) \(task ?? "-") \(power)") }
        return ServerState(vm: vmState, task: task.flatMap { TaskState(rawValue: $0) }, power: powerState)
    }

    package func upkeep(before date: Date) async throws(CellStoreError) -> CellUpkeep {
        try await attempt {
            let answers = try await pool.pipeline([
                """
                select count(*) filter (where state = 'live') as live, count(*) filter (where state = 'parked') as parked,
                    min(created_at) filter (where state = 'live') as oldest,
                    count(*) filter (where state = 'live' and created_at < \(date)
                        and (lease_owner is null or lease_until < now())) as orphaned
                from saga.sagas where state = 'live' or state = 'parked'
                """,
                """
                select i.host, count(*) as servers from cell.instances i left join cell.hosts h on h.name = i.host
                where not i.is_deleted and i.host is not null and h.is_up is not true group by i.host
                """,
                """
                select i.id from cell.instances i
                where i.task_state is not null and not i.is_deleted and i.updated_at < \(date)
                    and not exists (
                        select from saga.sagas s where s.instance_id = i.id and s.state in ('live', 'parked'))
                order by i.id limit \(CellUpkeep.limit)
                """,
            ])
            guard let row = answers[0].first else { throw StoredValueError(what: "upkeep", value: "none") }
            var lost: [HostName: Int] = [:]
            for row in answers[1] { lost[HostName(try row.get("host"))] = try row.get("servers") }
            return CellUpkeep(
                liveSagas: try row.get("live"), parkedSagas: try row.get("parked"), oldestSaga: try row.get("oldest"),
                orphanedSagas: try row.get("orphaned"), serversOnLostHosts: lost,
                stranded: try answers[2].column(as: ServerID.self))
        }
    }
}

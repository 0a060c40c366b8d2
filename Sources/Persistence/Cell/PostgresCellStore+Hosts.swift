import CellProtocol
package import CloudModel
package import FoundationEssentials
import PostgresClient
import Primitives
package import ServerLifecycle

extension PostgresCellStore {
    package func hosts() async throws(CellStoreError) -> [HostRecord] {
        try await attempt {
            let rows = try await pool.query("select \(raw: CellRows.hostColumns) from cell.hosts order by name")
            return try rows.map { try CellRows.host($0, cell: cell) }
        }
    }

    package func touchHosts(_ sightings: [HostSighting]) async throws(CellStoreError) -> Set<HostName> {
        try await attempt {
            let names = sightings.map(\.name.text)
            let providers = sightings.map(\.providerID)
            let zones = sightings.map(\.availabilityZone)
            let times = sightings.map(\.seenAt.microseconds)
            let answers = try await pool.pipelineTransaction([
                Self.withoutWaitingForDisk,
                """
                with known as (
                    select h.name, to_timestamp(0) + s.seen * interval '1 microsecond' as seen_at
                    from cell.hosts h
                    join unnest(\(names), \(providers), \(zones), \(times)) as s (name, id, zone, seen)
                        on h.name = s.name and h.id = s.id and h.availability_zone = s.zone
                    where h.is_up order by h.name for update of h
                )
                update cell.hosts h set last_seen_at = greatest(h.last_seen_at, known.seen_at)
                from known where h.name = known.name
                returning h.name
                """,
            ])
            return Set(try answers.last?.column(as: String.self).map { HostName($0) } ?? [])
        }
    }

    package func changeHosts<Result: Sendable>(
        _ names: [HostName], providers: [ProviderID],
        _ decide: @escaping @Sendable ([HostName: HostRecord]) -> HostDecision<Result>
    ) async throws(CellStoreError) -> Result {
        try await transaction { [cell] transaction in
            let rows = try await transaction.query(
                """
                select \(raw: CellRows.hostColumns) from cell.hosts
                where name = any(\(names.map(\.text))) or id = any(\(providers))
                order by name for update
                """)
            var known: [HostName: HostRecord] = [:]
            for row in rows {
                let host = try CellRows.host(row, cell: cell)
                known[host.name] = host
            }
            let decision = decide(known)
            let statements =
                decision.records.sorted { $0.name < $1.name }.map { CellRows.put($0) }
                + (try CellRows.append(decision.events))
            try await transaction.pipeline(statements)
            return decision.result
        }
    }

    package func silentHosts(since date: Date) async throws(CellStoreError) -> [HostName] {
        try await attempt {
            let rows = try await pool.query(
                "select name from cell.hosts where is_up and last_seen_at < \(date) order by name")
            return try rows.column(as: String.self).map { HostName($0) }
        }
    }
}

import FoundationEssentials
import PostgresClient
package import ServerLifecycle

extension PostgresCellStore {
    package func pulse() async throws(CellStoreError) -> CellPulse {
        try await attempt {
            let rows = try await pool.query(
                """
                select (select newest from outbox.position) as newest,
                    (select count(*) from cell.conductors where now() < greatest(
                        until, seen_at + \(CellPulse.conductorTimeout.timeInterval) * interval '1 second')
                    ) as conductors,
                    count(*) filter (where is_up) as up, count(*) as hosts
                from cell.hosts
                """)
            guard let row = rows.first else { throw StoredValueError(what: "pulse", value: "none") }
            return CellPulse(
                newestSequence: try row.get("newest"), conductorsUp: try row.get("conductors"),
                hostsUp: try row.get("up"), hosts: try row.get("hosts"))
        }
    }
}

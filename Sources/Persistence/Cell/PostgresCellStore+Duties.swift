import FoundationEssentials
import PostgresClient
package import ServerLifecycle

extension PostgresCellStore {
    package func takeDuty(
        _ duty: CellDuty, owner: String, for duration: Duration
    ) async throws(CellStoreError) -> Bool {
        try await attempt {
            let answers = try await pool.pipelineTransaction([
                Self.withoutWaitingForDisk,
                """
                insert into cell.duties as d (name, owner, until)
                values (\(duty.rawValue), \(owner), now() + \(duration.timeInterval) * interval '1 second')
                on conflict (name) do update set owner = excluded.owner, until = excluded.until
                where d.owner = excluded.owner or d.until < now()
                """,
            ])
            return answers.last?.affected == 1
        }
    }

    package func releaseDuty(_ duty: CellDuty, owner: String) async throws(CellStoreError) {
        try await attempt {
            _ = try await pool.execute(
                "delete from cell.duties where name = \(duty.rawValue) and owner = \(owner)")
        }
    }

    package func pulse() async throws(CellStoreError) -> CellPulse {
        try await attempt {
            let rows = try await pool.query(
                """
                select (select newest from outbox.position) as newest,
                    (select count(*) from cell.conductors
                        where seen_at > now() - \(CellPulse.conductorTimeout.timeInterval) * interval '1 second'
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

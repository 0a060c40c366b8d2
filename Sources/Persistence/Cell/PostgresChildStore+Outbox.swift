package import CellProtocol
import CloudModel
package import FoundationEssentials
import PostgresClient
package import ServerLifecycle

extension PostgresChildStore {
    package func unpublishedEvents(confirmed: Int64?, limit: Int) async throws(CellStoreError) -> [EncodedEvent] {
        try await attempt {
            // Mostly there is nothing to do, and then nothing is written.
            let look = try await pool.query(
                """
                select newest > published as is_behind,
                    exists (select from outbox.events where sequence is null) as has_new
                from outbox.position
                """)
            guard let first = look.first else { throw StoredValueError(what: "outbox position", value: "none") }
            let isBehind: Bool = try first.get("is_behind")
            let hasNew: Bool = try first.get("has_new")
            guard confirmed != nil || hasNew else {
                return isBehind ? try encoded(try await pool.query(Self.selectUnpublished(limit))) : []
            }
            // The lock comes as a statement of its own: the numbering then sees what its last holder numbered.
            let answers = try await pool.pipelineTransaction([
                "select from outbox.position for update",
                Self.number(limit),
                "update outbox.position set published = greatest(published, \(confirmed ?? 0))",
                Self.selectUnpublished(limit),
            ])
            return try answers.last.map { try encoded($0) } ?? []
        }
    }

    private static func number(_ limit: Int) -> Statement {
        """
        with fresh as (
            select id, row_number() over (order by id) as place
            from (select id from outbox.events where sequence is null order by id limit \(limit)) e
        ), numbered as (
            update outbox.events e set sequence = p.newest + fresh.place
            from fresh, outbox.position p where e.id = fresh.id
            returning e.sequence
        )
        update outbox.position set newest = (select max(sequence) from numbered)
        where exists (select from numbered)
        """
    }

    private static func selectUnpublished(_ limit: Int) -> Statement {
        """
        select sequence, event::text as event, \(raw: Self.origin) as origin from outbox.events
        where sequence > (select published from outbox.position) order by sequence limit \(limit)
        """
    }

    private func encoded(_ rows: Rows) throws -> [EncodedEvent] {
        try rows.map { row in
            let origin: String? = try row.get("origin")
            return EncodedEvent(
                sequence: try row.get("sequence"), text: Data(try row.get("event", as: String.self).utf8),
                origin: origin.flatMap { CellPath($0) })
        }
    }

    package func events(
        after sequence: Int64, limit: Int
    ) async throws(CellStoreError) -> (events: [EncodedEvent], newest: Int64) {
        try await attempt {
            let answers = try await pool.pipeline([
                """
                select sequence, event::text as event, \(raw: Self.origin) as origin from outbox.events
                where sequence > \(sequence) order by sequence limit \(limit)
                """,
                "select newest from outbox.position",
            ])
            return (try encoded(answers[0]), try answers[1].scalar(as: Int64.self) ?? 0)
        }
    }

    package func pruneEvents(before date: Date, limit: Int) async throws(CellStoreError) -> Int {
        try await attempt {
            try await pool.execute(
                """
                delete from outbox.events where id in (
                    select id from outbox.events
                    where created_at < \(date) and sequence <= (select published from outbox.position)
                    order by id limit \(limit)
                )
                """)
        }
    }
}

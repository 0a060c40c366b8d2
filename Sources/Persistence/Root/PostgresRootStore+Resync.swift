package import CellProtocol
package import CloudModel
import FoundationEssentials
package import PostgresClient
import ServerLifecycle

// Servers without a cell that the directory has lost come back from their build requests.
extension PostgresRootStore {
    /// Build requests looked at in one transaction.
    private static let restoreBatch = 200

    package func strangers(
        in servers: [ServerID: CellPath], _ transaction: PostgresTransaction
    ) async throws -> Set<ServerID> {
        let pairs = servers.sorted { $0.key < $1.key }
        let ids: [ServerID] = try await transaction.query(
            """
            select s.id from unnest(\(pairs.map(\.key)), \(pairs.map(\.value.description))) as s (id, leaf)
            left join directory.instances i on i.id = s.id
            left join scheduler.build_requests b on b.instance_id = s.id
            where coalesce(i.cell, b.cell) <> s.leaf
            """
        ).column()
        return Set(ids)
    }

    package func take(_ servers: [(summary: InstanceSummary, leaf: CellPath)]) -> [Statement] {
        let ids = servers.map(\.summary.id)
        return servers.map { DirectorySQL.upsert($0.summary, cell: $0.leaf) } + [
            // Who was to be deleted, still is.
            """
            update directory.instances i set task_state = 'deleting'
            where i.id = any(\(ids)) and i.deleted_at is null and exists (
                select from outbox.commands c where c.instance_id = i.id
                    and c.action = \(PostgresJSON(ServerAction.delete)))
            """
        ]
    }

    /// The root has no parent.
    package func tell(_: [CellEvent]) -> [Statement] { [] }

    package func restoreUnplaced() async throws -> Int {
        let loss = try await knownLoss(of: .root)
        var restored = 0
        while true {
            let count = try await restoreBatch()
            restored += count
            if count < Self.restoreBatch { break }
        }
        if let loss {
            _ = try await pool.pipelineTransaction([
                "delete from directory.gaps where cell = '/' and number = \(loss)", Self.nudge(.buildRequests),
            ])
        }
        return restored
    }

    private func restoreBatch() async throws -> Int {
        try await pool.transaction { transaction in
            let rows = try await transaction.query(
                """
                select b.build, b.cell, b.state from scheduler.build_requests b
                where not exists (select from directory.instances i where i.id = b.instance_id)
                order by b.created_at limit \(Self.restoreBatch) for update
                """)
            let statements = try rows.map { row -> Statement in
                let build: BuildSpecification = try row.json("build")
                let state: String = try row.get("state")
                let holder: String? = try row.get("cell")
                let summary = InstanceSummary(build.instance)
                return DirectorySQL.upsert(summary, cell: state == "sent" ? try holder.map { try Self.cell($0) } : nil)
            }
            if !statements.isEmpty { _ = try await transaction.pipeline(statements) }
            return rows.count
        }
    }
}

package import CellProtocol
package import CloudModel
package import FoundationEssentials
import PostgresClient
import ServerLifecycle

// A directory that lost rows reads them again from the cells' inventories. `directory.gaps` says of which cells that is
// still to be done, lists say it after it.
extension PostgresParentStore {
    package func requestResync(of path: CellPath) async throws -> Bool {
        try await pool.transaction { transaction in
            let changed = try await transaction.execute(
                "update directory.cells set resync_wanted = true where path = \(path.description)")
            if changed > 0 { _ = try await transaction.query(Self.nudge(.cells)) }
            return changed > 0
        }
    }

    package func noteLoss(of path: CellPath, now: Date) async throws {
        _ = try await pool.query("select directory.note_gaps(array[\(path.description)::text])")
    }

    /// Rows bear the paths of their leaves: what is lost of any cell below a branch is the branch's to tell again.
    package func knownLoss(of path: CellPath) async throws -> Int64? {
        try await pool.query(
            """
            select max(number) from directory.gaps
            where cell = \(path.description) or starts_with(cell, \(path.below))
            """
        ).scalar()
    }

    package func merge(_ page: InventoryRequest.Reply, from path: CellPath) async throws -> Bool {
        try await pool.transaction { transaction in
            // Events of the cell are applied under the same lock, so none comes between the look and the rows.
            let applied: Int64? = try await transaction.query(
                "select last_sequence from directory.cells where path = \(path.description) for update"
            ).scalar()
            guard let applied, applied <= page.sequence else { return false }
            guard !page.servers.isEmpty else { return true }
            let servers = try page.located(in: path)
            // An attempt that was given up may live on there: the server is elsewhere.
            let strangers = try await strangers(
                in: Dictionary(servers.map { ($0.summary.id, $0.leaf) }) { first, _ in first }, transaction)
            let statements = try take(servers.filter { !strangers.contains($0.summary.id) })
            if !statements.isEmpty { _ = try await transaction.pipeline(statements) }
            return true
        }
    }

    package func endResync(of path: CellPath, loss: Int64?) async throws {
        _ = try await pool.pipelineTransaction([
            """
            delete from directory.gaps
            where (cell = \(path.description) or starts_with(cell, \(path.below))) and number <= \(loss ?? 0)
            """,
            "update directory.cells set resync_wanted = false where path = \(path.description)",
            Self.nudge(.cells),
        ])
    }

    package func missing(
        of path: CellPath, besides known: Set<ServerID>, createdBefore date: Date
    ) async throws -> [ServerID] {
        try await pool.query(
            """
            select i.id from directory.instances i
            where (cell = \(path.description) or starts_with(cell, \(path.below)))
                and \(raw: DirectorySQL.counts) and created_at < \(date) and i.id <> all(\(known.sorted()))
            order by i.id
            """
        ).column()
    }

    package func audit(of path: CellPath) async throws -> DirectoryAudit {
        let rows = try await pool.query(
            """
            select coalesce((select last_sequence from directory.cells where path = \(path.description)), 0) as sequence,
                i.servers, i.digest from (
                    select count(*) as servers, \(raw: DirectorySQL.digest) as digest from directory.instances i
                    where (cell = \(path.description) or starts_with(cell, \(path.below)))
                        and \(raw: DirectorySQL.counts)
                ) i
            """)
        guard let row = rows.first else { throw StoredValueError(what: "audit", value: "none") }
        return try DirectorySQL.audit(row)
    }
}

extension InventoryRequest.Reply {
    /// The page's servers with the leaf of each.
    /// - Throws: ``CellFailure`` when `child` tells of leaves that are not below it.
    func located(in child: CellPath) throws(CellFailure) -> [(summary: InstanceSummary, leaf: CellPath)] {
        guard let origins else { return servers.map { ($0, child) } }
        guard origins.count == servers.count, origins.allSatisfy({ child.holds($0) }) else {
            throw CellFailure(message: "the inventory tells of cells that are not below \(child)")
        }
        return Array(zip(servers, origins)).map { (summary: $0.0, leaf: $0.1) }
    }
}

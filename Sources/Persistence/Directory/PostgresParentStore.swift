package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import PostgresClient
import Primitives
package import ServerLifecycle

/// What the databases of the root and of a branch have in common: `directory.cells`, `.hosts`, `.instances`, `.gaps`, and
/// how a child's events and inventories come into them. One facet a file.
///
/// `directory.cells` has a row for every cell below: those of children say where they are, deeper ones (`bus` is null) are
/// known by what the branch between tells of them. Servers and hosts bear the path of their leaf.
package protocol PostgresParentStore: ParentStore {
    var pool: PostgresPool { get }

    /// Applies the end of an attempt to build a server in a leaf.
    func apply(_ failure: BuildFailure, of leaf: CellPath, now: Date, in transaction: PostgresTransaction) async throws

    /// Applies the end of a server.
    func apply(
        _ deletion: InstanceDeletion, of leaf: CellPath, now: Date, in transaction: PostgresTransaction
    ) async throws

    /// Applies what leaves tell of servers, in this order.
    func apply(
        _ servers: [(summary: InstanceSummary, leaf: CellPath)], now: Date, in transaction: PostgresTransaction
    ) async throws

    /// Applies what the leaf `origin` tells of hosts, in this order.
    func apply(_ hosts: [HostRecord], of origin: CellPath, in transaction: PostgresTransaction) async throws

    /// Those of `servers` that are in another leaf than said, by what this cell itself has decided.
    func strangers(
        in servers: [ServerID: CellPath], _ transaction: PostgresTransaction
    ) async throws -> Set<ServerID>

    /// Takes servers as their leaves tell them.
    func take(_ servers: [(summary: InstanceSummary, leaf: CellPath)]) throws -> [Statement]

    /// Tells the cell's own parent, if it has one, in this order.
    func tell(_ events: [CellEvent]) throws -> [Statement]
}

/// Every nudge goes over this channel; its payload is the kind.
private let directoryChannel = "cellwright_root"

extension PostgresParentStore {
    static func nudge(_ kind: DirectoryChange) -> Statement {
        let payload =
            switch kind {
            case .buildRequests: "build-requests"
            case .commands: "commands"
            case .cells: "cells"
            case .health: "health"
            case .unknown: "unknown"
            }
        return "select pg_notify(\(directoryChannel), \(payload))"
    }

    package func changes() -> AsyncMapSequence<PostgresNotifications, DirectoryChange> {
        pool.listen(channel: directoryChannel).map { element in
            switch element {
            case .listening, .reconnected: .unknown
            case .notification(let notification):
                switch notification.payload {
                case "build-requests": .buildRequests
                case "commands": .commands
                case "cells": .cells
                case "health": .health
                default: .unknown
                }
            }
        }
    }

    static func cell(_ text: String?) throws -> CellPath {
        guard let text, let path = CellPath(text) else {
            throw StoredValueError(what: "cell path", value: text ?? "nothing")
        }
        return path
    }

    // MARK: Mappings

    package func cells() async throws -> [CellMapping] {
        let rows = try await pool.query(
            """
            select path, bus, is_enabled, last_sequence, health, reason, since,
                nullif(heartbeat, 'null'::jsonb) as heartbeat,
                resync_wanted or exists (
                    select from directory.gaps g where g.cell = path or starts_with(g.cell, path || '/')) as is_resync_wanted
            from directory.cells where bus is not null order by path
            """)
        return try rows.map { row in
            CellMapping(
                path: try Self.cell(row.get("path")), bus: try row.document("bus"),
                isEnabled: try row.get("is_enabled"),
                lastSequence: try row.get("last_sequence"),
                health: CellStatus.Health(rawValue: try row.get("health")) ?? .down, reason: try row.get("reason"),
                since: try row.get("since"),
                heartbeat: try row.isNull("heartbeat") ? nil : try row.document("heartbeat", as: CellHeartbeat.self),
                isResyncWanted: try row.get("is_resync_wanted"))
        }
    }

    /// The cells below the children, by what these have told.
    package func cellsBelow() async throws -> [CellStatus] {
        let rows = try await pool.query(
            """
            select path, health, reason, since, nullif(heartbeat, 'null'::jsonb) as heartbeat from directory.cells
            where bus is null order by path
            """)
        return try rows.map { row in
            let standing = try DirectorySQL.standing(row)
            return CellStatus(
                cell: standing.path, health: standing.health, reason: standing.reason, since: standing.since,
                heartbeat: standing.heartbeat, isLeaf: standing.heartbeat?.isLeaf ?? true)
        }
    }

    package func putCell(_ path: CellPath, bus: CellMapping.Endpoint, now: Date) async throws -> Bool {
        let standing = CellStanding(path: path, health: .down, reason: "not heard of yet", since: now, heartbeat: nil)
        return try await pool.transaction { transaction in
            let rows = try await transaction.query(
                """
                insert into directory.cells (path, bus, reason, since)
                values (\(path.description), \(PostgresJSON(bus)), \(standing.reason), \(now))
                on conflict (path) do update set bus = excluded.bus
                where directory.cells.bus is distinct from excluded.bus
                returning xmax = 0 as is_new
                """)
            guard let row = rows.first else { return false }
            let news = try row.get("is_new", as: Bool.self) ? try tell([.cellChanged(standing)]) : []
            _ = try await transaction.pipeline(news + [Self.nudge(.cells)])
            return true
        }
    }

    package func removeCell(_ path: CellPath) async throws -> Bool {
        try await pool.transaction { transaction in
            let changed = try await transaction.execute(Self.deleteCells(path))
            if changed > 0 { _ = try await transaction.pipeline(try tell([.cellRemoved(path)]) + [Self.nudge(.cells)]) }
            return changed > 0
        }
    }

    /// The cell and what lies below it.
    static func deleteCells(_ path: CellPath) -> Statement {
        """
        delete from directory.cells
        where path = \(path.description) or starts_with(path, \(path.below))
        """
    }

    package func setHealth(_ standings: [CellStanding], watcher: String?) async throws {
        guard !standings.isEmpty else { return }
        let paths = standings.map(\.path.description)
        let heartbeats = standings.map { $0.heartbeat.map { String(decoding: $0.json, as: UTF8.self) } ?? "" }
        try await pool.transaction { transaction in
            let answers = try await transaction.pipeline([
                "select from directory.cells where path = any(\(paths)) order by path for update",
                """
                update directory.cells c set health = t.health, reason = nullif(t.reason, ''),
                    since = to_timestamp(0) + t.since * interval '1 microsecond',
                    heartbeat = nullif(t.heartbeat, '')::jsonb
                from unnest(\(paths), \(standings.map(\.health.rawValue)), \(standings.map { $0.reason ?? "" }),
                    \(standings.map(\.since.microseconds)), \(heartbeats))
                    as t (path, health, reason, since, heartbeat)
                where c.path = t.path and (\(watcher)::text is null
                    or exists (select from directory.watch w where w.owner = \(watcher) and w.until > now()))
                returning c.path
                """,
            ])
            let written = Set(try answers.last?.column(as: String.self) ?? [])
            let news = standings.filter { written.contains($0.path.description) }.map { CellEvent.cellChanged($0) }
            guard !news.isEmpty else { return }
            _ = try await transaction.pipeline(try tell(news) + [Self.nudge(.health)])
        }
    }

    package func takeWatch(owner: String, for duration: Duration) async throws -> Bool {
        let answers = try await pool.pipelineTransaction([
            // What a crash of the server may forget.
            "set local synchronous_commit = off",
            """
            insert into directory.watch as w (is_one, owner, until)
            values (true, \(owner), now() + \(duration.timeInterval) * interval '1 second')
            on conflict (is_one) do update set owner = excluded.owner, until = excluded.until
            where w.owner = excluded.owner or w.until < now()
            """,
        ])
        return answers.last?.affected == 1
    }

    package func releaseWatch(owner: String) async throws {
        _ = try await pool.execute("delete from directory.watch where owner = \(owner)")
    }

    static func json(_ heartbeat: CellHeartbeat?) -> PostgresJSON {
        PostgresJSON(text: heartbeat.map { String(decoding: $0.json, as: UTF8.self) } ?? "null")
    }
}

extension CellPath {
    /// What the paths of all cells below begin with.
    var below: String { isRoot ? "/" : "\(self)/" }
}

/// A value in the database that no version of ours wrote.
package struct StoredValueError: Error, CustomStringConvertible, Equatable {
    let what: String
    let value: String
    package var description: String { "the database holds a \(what) that can't be read: \(value)" }
}

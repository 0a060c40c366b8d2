package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import PostgresClient
package import ServerLifecycle

/// The root's database: `RootStore` for the supervisor, `ServerAcceptance`, `DirectoryStore` and `HostDirectory` for the
/// API, one facet a file.
package struct PostgresRootStore: Sendable {
    /// Every nudge goes over this channel; its payload is the kind.
    static let channel = "cellwright_root"
    /// Attempts to build one server before it fails, as Nova's default.
    static let attemptLimit = 3

    let pool: PostgresPool
    let ports: PortLedger
    /// What the scheduler of this process plans with; read on its first placement.
    let picture = PlacementPicture()

    package init(pool: PostgresPool, ports: PortLedger) {
        self.pool = pool
        self.ports = ports
    }

    static func nudge(_ kind: DirectoryChange) -> Statement {
        let payload =
            switch kind {
            case .buildRequests: "build-requests"
            case .commands: "commands"
            case .cells: "cells"
            case .unknown: "unknown"
            }
        return "select pg_notify(\(channel), \(payload))"
    }
}

/// Ports inside a transaction of the root store: reserved when servers are accepted, released when they are gone.
package struct PortLedger: Sendable {
    package var reserve: @Sendable (PortReservation, PostgresTransaction, Date) async throws -> ReservedPorts
    package var release: @Sendable (ServerID, PostgresTransaction) async throws -> Void

    package init(
        reserve: @escaping @Sendable (PortReservation, PostgresTransaction, Date) async throws -> ReservedPorts,
        release: @escaping @Sendable (ServerID, PostgresTransaction) async throws -> Void
    ) {
        self.reserve = reserve
        self.release = release
    }
}

// MARK: Cells

extension PostgresRootStore {
    package func cells() async throws -> [CellMapping] {
        let rows = try await pool.query(
            """
            select path, bus, is_enabled, last_sequence, health, reason, since,
                nullif(heartbeat, 'null'::jsonb) as heartbeat,
                resync_wanted or exists (select from directory.gaps g where g.cell = path) as is_resync_wanted
            from directory.cells order by path
            """)
        return try rows.map { row in
            let path: String = try row.get("path")
            guard let path = CellPath(path) else { throw StoredValueError(what: "cell path", value: path) }
            return CellMapping(
                path: path, bus: try row.json("bus"), isEnabled: try row.get("is_enabled"),
                lastSequence: try row.get("last_sequence"),
                health: CellStatus.Health(rawValue: try row.get("health")) ?? .down, reason: try row.get("reason"),
                since: try row.get("since"),
                heartbeat: try row.isNull("heartbeat") ? nil : try row.json("heartbeat", as: CellHeartbeat.self),
                isResyncWanted: try row.get("is_resync_wanted"))
        }
    }

    package func putCell(_ path: CellPath, bus: CellMapping.Endpoint, now: Date) async throws -> Bool {
        try await pool.transaction { transaction in
            let changed = try await transaction.execute(
                """
                insert into directory.cells (path, bus, reason, since)
                values (\(path.description), \(PostgresJSON(bus)), 'not heard of yet', \(now))
                on conflict (path) do update set bus = excluded.bus
                where directory.cells.bus <> excluded.bus
                """)
            if changed > 0 { _ = try await transaction.query(Self.nudge(.cells)) }
            return changed > 0
        }
    }

    package func removeCell(_ path: CellPath) async throws -> Bool {
        try await pool.transaction { transaction in
            let changed = try await transaction.execute(
                "delete from directory.cells where path = \(path.description)")
            if changed > 0 { _ = try await transaction.query(Self.nudge(.cells)) }
            return changed > 0
        }
    }

    package func setHealth(
        of path: CellPath, _ health: CellStatus.Health, reason: String?, since: Date, heartbeat: CellHeartbeat?
    ) async throws {
        _ = try await pool.pipelineTransaction([
            """
            update directory.cells set health = \(health.rawValue), reason = \(reason), since = \(since),
                heartbeat = nullif(\(heartbeat.map { PostgresJSON($0) } ?? PostgresJSON(text: "null")), 'null'::jsonb)
            where path = \(path.description)
            """,
            Self.nudge(.cells),
        ])
    }

    package func changes() -> some AsyncSequence<DirectoryChange, Never> & Sendable {
        pool.listen(channel: Self.channel).map { element in
            switch element {
            case .listening, .reconnected: DirectoryChange.unknown
            case .notification(let notification):
                switch notification.payload {
                case "build-requests": .buildRequests
                case "commands": .commands
                case "cells": .cells
                default: .unknown
                }
            }
        }
    }
}

/// A value in the database that no version of ours wrote.
package struct StoredValueError: Error, CustomStringConvertible, Equatable {
    let what: String
    let value: String
    package var description: String { "the database holds a \(what) that can't be read: \(value)" }
}

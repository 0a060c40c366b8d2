import CloudHarness
import Deployer
import Foundation
import PostgresClient
import Primitives

/// What is left of servers anywhere in the cloud: read from its databases and its hypervisors' files.
enum Remains {
    /// Waits until nothing is left, and says what is if that takes too long. The last transactions come a moment after
    /// the API's answer.
    static func waitUntilNone(of servers: [String], within limit: Duration = Tenant.limit) async throws {
        var left: [String] = []
        do {
            try await until("nothing is left of \(servers.count) servers", within: limit) {
                left = try await find(servers, in: try await SharedCloud.ready())
                return left.isEmpty
            }
        } catch let failure as HarnessFailure {
            throw HarnessFailure("\(failure); left are \(left.prefix(20))")
        }
    }

    /// Waits until no host has a claim of an earlier test's server: its cell ends one a moment before the root hears of it.
    static func waitUntilNothingIsClaimed() async throws {
        let root = try await SharedCloud.ready().root
        try await until("nothing is claimed") {
            try await SharedCloud.query(root, "select 1 from placement.allocations limit 1").isEmpty
        }
    }

    static func find(_ servers: [String], in ready: DevReady) async throws -> [String] {
        let ids = servers.compactMap { UUID(uuidString: $0) }
        var left = try await texts(try ready.root, in: ready, rootQuery(ids, servers))
        for cell in ready.leaves {
            left += try await texts(cell, in: ready, leafQuery(ids)).map { "\(cell.path): \($0)" }
        }
        for host in ready.hosts {
            let folder = "\(ready.folder)/compute/\(host)/guests"
            for server in servers where FileManager.default.fileExists(atPath: "\(folder)/\(server).json") {
                left.append("\(host): guest \(server)")
            }
        }
        return left
    }

    static func texts(
        _ cell: DevReady.Cell, in ready: DevReady, _ statement: Statement
    ) async throws -> [String] {
        let pool = try SharedCloud.database(of: cell, on: ready.database)
        do {
            let rows: [String] = try await pool.query(statement).column()
            await pool.close()
            return rows
        } catch {
            await pool.close()
            throw error
        }
    }

    private static func rootQuery(_ ids: [UUID], _ texts: [String]) -> Statement {
        """
        select 'directory row ' || id from directory.instances where id = any(\(ids)) and deleted_at is null
        union all select 'allocation ' || consumer_id from placement.allocations where consumer_id = any(\(ids))
        union all select 'build request ' || instance_id from scheduler.build_requests where instance_id = any(\(ids))
        union all select 'command ' || instance_id from outbox.commands where instance_id = any(\(ids))
        union all select 'member ' || instance_id from scheduler.group_members where instance_id = any(\(ids))
        union all select 'use of a quota ' || instance_id from quota.uses where instance_id = any(\(ids))
        union all select 'port of ' || device_id from network.ports where device_id = any(\(texts))
        union all select 'wrong count of ' || i.class || ' at ' || p.name || ': ' || i.used || ' and ' || a.sum
            from placement.inventories i join placement.providers p on p.id = i.provider_id,
            lateral (select coalesce(sum(amount), 0) as sum from placement.allocations
                where provider_id = i.provider_id and class = i.class) a
            where a.sum <> i.used
        """
    }

    private static func leafQuery(_ ids: [UUID]) -> Statement {
        """
        select 'instance ' || id from cell.instances where id = any(\(ids)) and not is_deleted
        union all select state || ' saga ' || name || ' of ' || instance_id from saga.sagas
            where instance_id = any(\(ids)) and state in ('live', 'parked')
        union all select 'unfinished ' || action || ' of ' || instance_id from cell.instance_actions
            where instance_id = any(\(ids)) and finished_at is null
        union all select 'unnumbered event ' || id from outbox.events where sequence is null
        union all select 'unpublished events ' || newest - published from outbox.position where newest > published
        """
    }
}

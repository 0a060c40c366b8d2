import CloudHarness
import Deployer
import Foundation
import PostgresClient
import Primitives

/// What must be true of a cloud that has come to rest, read from its databases, its broker and its hypervisors' files.
struct FaultInvariants: Sendable {
    let ready: DevReady

    /// Whether the guest of a server on a host runs; nil when the host has none.
    static func guest(_ id: String, at host: String, in ready: DevReady) throws -> Bool? {
        let path = "\(guestFolder(of: host, in: ready))/\(id.lowercased()).json"
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        return try JSONParser.parse(Array(data)).integer("power") == running
    }

    /// As a guest's file has it.
    private static let running = 1

    private static func guestFolder(of host: String, in ready: DevReady) -> String {
        "\(ready.folder)/compute/\(host)/guests"
    }

    /// Servers with guests, by host, whatever the databases say.
    private func guests() throws -> Set<String> {
        var found: Set<String> = []
        for host in ready.hosts {
            for file in try FileManager.default.contentsOfDirectory(atPath: Self.guestFolder(of: host, in: ready))
            where file.hasSuffix(".json") {
                found.insert("\(host) \(file.dropLast(5).lowercased())")
            }
        }
        return found
    }

    // MARK: Servers that stand

    /// What is wrong with the servers that are there: each has one guest and one claim, both on its host.
    func wrongs() async throws -> [String] {
        let root = try ready.root
        var wrongs = try await Remains.texts(
            root, in: ready,
            """
            select 'claim of ' || i.id || ', which is on ' || i.host || ', is at ' || coalesce(c.hosts::text, 'no host')
            from directory.instances i left join lateral (
                select array_agg(distinct p.name) as hosts from placement.allocations a
                join placement.providers p on p.id = a.provider_id where a.consumer_id = i.id) c on true
            where i.deleted_at is null and i.vm_state <> 'error' and c.hosts is distinct from array[i.host]
            union all select 'claim of ' || consumer_id || ', which is not there' from placement.allocations a
                where not exists (select from directory.instances i where i.id = a.consumer_id and i.deleted_at is null)
            union all select 'build request of ' || b.instance_id || ': ' || b.state from scheduler.build_requests b
                where b.state <> 'failed'
            union all select 'server ' || id || ' is ' || vm_state || ' and ' || coalesce(task_state, 'idle')
                from directory.instances
                where deleted_at is null and (vm_state = 'building' or task_state is not null)
            """)
        let homes = try await Remains.texts(
            root, in: ready,
            """
            select host || ' ' || id from directory.instances
            where deleted_at is null and vm_state in ('active', 'stopped')
            """)
        let guests = try guests()
        wrongs += guests.subtracting(homes).sorted().map { "guest of nobody: \($0)" }
        wrongs += Set(homes).subtracting(guests).sorted().map { "no guest: \($0)" }
        return wrongs
    }

    // MARK: Nothing

    /// What is left of anything when every server was deleted.
    func remains() async throws -> [String] {
        var left = try await Remains.texts(try ready.root, in: ready, Self.rootQuery)
        for cell in ready.leaves {
            left += try await Remains.texts(cell, in: ready, Self.leafQuery).map { "\(cell.path): \($0)" }
        }
        left += try guests().sorted().map { "guest: \($0)" }
        for (queue, messages) in try await queues() where messages > 0 {
            left.append("\(messages) messages in \(queue)")
        }
        return left
    }

    /// Messages by queue.
    func queues() async throws -> [String: Int] {
        let login = "\(ready.broker.user):\(try SharedCloud.text(ready.broker.passwordFile))"
        let broker = APIClient(
            url: "http://127.0.0.1:\(ready.managementPort)/api/",
            headers: ["authorization": "Basic \(Data(login.utf8).base64EncodedString())"])
        var queues: [String: Int] = [:]
        for queue in try await broker.get("queues").array ?? [] {
            queues["\(try queue.text("vhost"))/\(try queue.text("name"))"] =
                queue["messages"]?.integer.map(Int.init) ?? 0
        }
        return queues
    }

    private static let rootQuery: Statement = """
        select 'directory row ' || id || ' ' || status from directory.instances where deleted_at is null
        union all select 'allocation ' || consumer_id from placement.allocations
        union all select 'build request ' || instance_id || ' ' || state from scheduler.build_requests
        union all select 'command ' || instance_id from outbox.commands
        union all select 'member ' || instance_id from scheduler.group_members
        union all select 'use of a quota ' || instance_id from quota.uses
        union all select 'port of ' || device_id from network.ports
            where is_owned_by_server or device_owner like 'compute:%'
        union all select 'count of ' || i.class || ' at ' || p.name || ': ' || i.used
            from placement.inventories i join placement.providers p on p.id = i.provider_id where i.used <> 0
        union all select 'gap of ' || cell from directory.gaps
        union all select 'cell ' || path || ' is ' || health from directory.cells where health <> 'up'
        union all select 'host ' || name || ' is down' from directory.hosts where not is_up
        """

    /// Builds that failed stay for a while, as the documents of what happened.
    private static let leafQuery: Statement = """
        select 'instance ' || id || ' ' || vm_state from cell.instances where not is_deleted and vm_state <> 'error'
        union all select state || ' saga ' || name || ' of ' || instance_id from saga.sagas
            where state in ('live', 'parked')
        union all select 'unfinished ' || action || ' of ' || instance_id from cell.instance_actions
            where finished_at is null
        union all select 'unnumbered event ' || id from outbox.events where sequence is null
        union all select 'unpublished events ' || newest - published from outbox.position where newest > published
        """
}

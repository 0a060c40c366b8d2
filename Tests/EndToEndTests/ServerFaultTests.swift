import CloudHarness
import Deployer
import Foundation
import Glibc
import PostgresClient
import Primitives
import Synchronization
import TestSupport
import Testing

/// PostgreSQL and RabbitMQ die and freeze under load, and a conductor freezes: whatever was accepted ends as it was asked
/// for. A cloud of its own, because others' servers are not to fall with these.
@Suite(.serialized, .enabled(if: TestCloud.missing == nil, "\(TestCloud.missing ?? "")"), .timeLimit(.minutes(15)))
struct ServerFaultTests {
    private static let limit = Duration.seconds(180)
    /// Longer than every lease and heartbeat.
    private static let frozen = Duration.seconds(30)

    enum Fault: String, CaseIterable {
        case databaseKilled = "PostgreSQL killed with -9"
        case brokerFrozen = "RabbitMQ frozen for 30 s"
        case brokerKilled = "RabbitMQ killed with -9"

        var process: String { self == .databaseKilled ? "postgresql" : "rabbitmq" }
    }

    @Test func nothingAcceptedIsLostWhateverServerFalls() async throws {
        let process = try await TestCloud.start()
        do {
            let load = try await Load(process.ready)
            for fault in Fault.allCases { try await fall(fault, under: load) }
            try await load.finish(within: Self.limit)
        } catch {
            await process.end()
            throw error
        }
        await process.end()
    }

    /// Has creates and deletes go on while a server falls and comes back.
    private func fall(_ fault: Fault, under load: Load) async throws {
        let before = load.counts
        let start = ContinuousClock.now
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await load.run(until: { load.isStopped }) }
            // Some are on their way.
            try await until("there is load", within: Self.limit) { load.counts.accepted >= before.accepted + 6 }
            let victims = try load.ready.pids(of: fault.process)
            try #require(!victims.isEmpty)
            switch fault {
            case .databaseKilled, .brokerKilled: for pid in victims { kill(pid, SIGKILL) }
            case .brokerFrozen:
                for pid in victims { kill(pid, SIGSTOP) }
                try await ContinuousClock().sleep(for: Self.frozen)
                for pid in victims { kill(pid, SIGCONT) }
            }
            let ended = ContinuousClock.now
            // Requests that come then are served again.
            let after = load.counts.accepted
            try await until("the cloud takes servers again", within: Self.limit) { load.counts.accepted >= after + 6 }
            let again = ContinuousClock.now - ended
            load.stop()
            try await group.waitForAll()
            try await load.settle(within: Self.limit)
            let counts = load.counts
            print(
                "\(fault.rawValue): \(counts.accepted - before.accepted) creates and \(counts.deleted - before.deleted) "
                    + "deletes accepted, \(counts.refused - before.refused) requests refused or unanswered, served again "
                    + "after \(again), all as asked \(ContinuousClock.now - ended) after its end, "
                    + "\(ContinuousClock.now - start) in all")
        }
    }

    // MARK: A conductor

    /// A second conductor of the cell takes the saga of one that is frozen; thawed, that one does nothing.
    @Test func aFrozenConductorDoesNothingWhenItThaws() async throws {
        let process = try await TestCloud.start()
        do {
            try await freezeConductor(process.ready)
        } catch {
            await process.end()
            throw error
        }
        await process.end()
    }

    private func freezeConductor(_ ready: DevReady) async throws {
        let load = try await Load(ready)
        let first = try ready.process("conductor-north")
        let pid = try #require(try ready.pid(of: first.name))
        // The agent is held, so that what is asked of it stays open.
        let agents = ["compute-north-1", "compute-north-2"].compactMap { try? ready.pid(of: $0) }.compactMap { $0 }
        #expect(agents.count == 2)
        for agent in agents { kill(agent, SIGSTOP) }
        defer { for agent in agents { kill(agent, SIGCONT) } }
        let id = try await load.create(zone: "north")
        let cell = try #require(ready.cells.first { $0.path == "/north" })
        let database = try await load.database(cell)
        func saga() async throws -> (owner: String?, epoch: Int, log: Int) {
            let rows = try await database.query(
                """
                select s.lease_owner, s.lease_epoch, (select count(*) from saga.log l where l.saga_id = s.id) as log
                from saga.sagas s where s.instance_id = \(UUID(uuidString: id)) and s.name = 'boot'
                """)
            guard let row = rows.first else { return (nil, 0, 0) }
            return (try row.get("lease_owner"), try row.get("lease_epoch"), try row.get("log"))
        }
        try await until("the first conductor has it", within: Self.limit) {
            let saga = try await saga()
            return saga.owner != nil && saga.log == 1
        }
        let owner = try await saga().owner
        let ops = try #require(first.ops)
        try await until("the first conductor has commanded", within: Self.limit) { try await commands(of: ops) >= 1 }
        let commanded = try await commands(of: ops)
        kill(pid, SIGSTOP)
        let second = try SecondConductor(first, ready)
        defer { second.end() }
        try await ContinuousClock().sleep(for: Self.frozen)
        try await until("the second conductor has it", within: Self.limit) { try await saga().owner == second.name }
        let taken = try await saga()
        #expect(owner != second.name && taken.epoch == 2 && taken.log == 1)
        // What was claimed is sent after the claim is written.
        var sent = 0
        try await until("the second conductor has commanded", within: Self.limit) {
            sent = try await commands(of: second.ops)
            return sent >= 1
        }
        kill(pid, SIGCONT)
        // It has gone round when it has beaten again.
        try await until("the first conductor lives again", within: Self.limit) {
            let rows = try await database.query(
                "select seen_at > now() - interval '2 seconds' as lives from cell.conductors where name = \(owner)")
            return try rows.first?.get("lives") ?? false
        }
        try await ContinuousClock().sleep(for: .seconds(7))
        let later = try await saga()
        #expect(later.owner == taken.owner && later.epoch == taken.epoch && later.log == taken.log)
        let lost = try await metric("cellwright_conductor_sagas_lost_total", of: ops)
        #expect(lost == 1)
        #expect(try await commands(of: ops) == commanded)
        print("thawed conductor: \(lost) saga lost, nothing written, nothing sent; \(sent) commands by its successor")
        for agent in agents { kill(agent, SIGCONT) }
        try await until("the server runs", within: Self.limit) { try await load.status(of: id) == "ACTIVE" }
        #expect(try await saga().epoch >= taken.epoch)
        try await load.delete(id)
        try await load.settle(within: Self.limit)
        await database.close()
    }

    private func commands(of ops: String) async throws -> Int {
        try await metric("cellwright_conductor_commands_total{outcome=\"sent\"}", of: ops)
    }

    /// The value of a counter; 0 while it has none.
    private func metric(_ name: String, of ops: String) async throws -> Int {
        let text = try await APIClient(url: ops).send(.get, "/metrics").text
        let line = text.split(separator: "\n").first { $0.hasPrefix(name + " ") }
        return line.flatMap { $0.split(separator: " ").last }.flatMap { Double($0) }.map { Int($0) } ?? 0
    }

    /// Another conductor of the same cell, with a name and a port of its own.
    private struct SecondConductor {
        let name = "conductor-second"
        let ops: String
        private let process = Process()

        init(_ first: DevReady.Process, _ ready: DevReady) throws {
            var ports = DevPorts(first: 31_000 + Int(getpid()) % 900)
            let port = try ports.take()
            var document = try JSONParser.parse(try SharedCloud.text(try #require(first.configuration))).object ?? [:]
            document["identity"] = .string(name)
            var listen = document["ops"]?.object ?? [:]
            listen["port"] = JSONValue(port)
            document["ops"] = .object(listen)
            ops = "http://127.0.0.1:\(port)"
            let settings = "\(ready.folder)/second-conductor.json"
            try JSONValue.object(document).text.write(toFile: settings, atomically: true, encoding: .utf8)
            process.executableURL = URL(filePath: "\(TestCloud.binaries)/cellwright-conductor")
            process.arguments = ["--config", settings]
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
        }

        func end() { process.terminate() }
    }
}

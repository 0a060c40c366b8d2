import CellProtocol
import CloudModel
import ComputeAgent
import FoundationEssentials
import HypervisorDriver
import Logging
import MessageBus
import Primitives
import Synchronization
import TestSupport
import Testing

/// An agent on an in-memory virtual host, and its cell's side of it.
private final class AgentFixture: Sendable {
    let bus: any MessageBus
    let driver: SimulatedHypervisor
    let folder: String
    let reports = Mutex<[BusDelivery]>([])
    private let agentBus: any MessageBus

    init() async throws {
        let broker = InMemoryBroker(clock: ContinuousClock(), wallClock: SystemWallClock())
        bus = broker.connect(vhost: "north")
        agentBus = broker.connect(vhost: "north")
        driver = try SimulatedHypervisor(vcpus: 4, memoryMiB: 4096, hostname: "h1")
        folder = try Sample.temporaryFolder()
        try await bus.declare(.cell)
        try await bus.declare(.host("h1"))
        try await bus.declare(.replies(asker: "me"))
    }

    deinit {
        do {
            try FileManager.default.removeItem(atPath: folder)
        } catch {
            Issue.record("\(error)")
        }
    }

    func agent(
        _ preparation: any GuestPreparation = SimulatedGuestPreparation(diskGiB: 10)
    ) throws -> AgentService {
        let driver = driver
        return AgentService(
            identity: .init(host: "h1", providerID: ProviderID(UUID()), availabilityZone: "north"), bus: agentBus,
            driver: driver,
            worker: GuestWorker(driver: driver, preparation: preparation, clock: ContinuousClock()),
            journal: try StepJournal(directory: folder + "/steps", now: Sample.now),
            inventory: {
                HostInventory(
                    vcpus: 4, memoryMiB: 4096, diskGiB: 10, hypervisorType: "simulated", hypervisorVersion: 1,
                    hypervisorHostname: "h1", hostIP: "127.0.0.1", agentVersion: "test")
            },
            clock: ContinuousClock(), wallClock: SystemWallClock(), ids: SystemIDSource(), logger: Logger(label: "test")
        )
    }

    /// Runs an agent and collects its reports while `body` runs.
    func run(
        _ preparation: any GuestPreparation = SimulatedGuestPreparation(diskGiB: 10),
        _ body: @escaping @Sendable () async throws -> Void
    ) async throws {
        let agent = try agent(preparation)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await agent.run() }
            for queue in [CellTopology.conductorQueue, "replies.me"] {
                group.addTask { [self] in
                    try await bus.consume(queue: queue, prefetch: 10) { delivery in
                        self.reports.withLock { $0.append(delivery) }
                        return .acknowledge
                    }
                }
            }
            try await body()
            group.cancelAll()
        }
    }

    func send(_ message: some Encodable, kind: String) async throws {
        let envelope = Envelope(
            messageID: UUID(), requestID: "req-1", sender: "test", kind: kind, body: try JSONEncoder().encode(message))
        try await bus.publish(
            envelope, to: CellTopology.commandAddress(host: "h1"), mandatory: true, timeout: .seconds(10))
    }

    func received<Message: Decodable>(_: Message.Type, kind: String) -> [Message] {
        reports.withLock { $0 }.filter { $0.envelope.kind == kind }.compactMap { delivery in
            do {
                return try JSONDecoder().decode(Message.self, from: delivery.envelope.body)
            } catch {
                Issue.record("\(error)")
                return nil
            }
        }
    }
}

/// Makes the guests that it knows at once, and no other before it is cancelled.
private final class SlowPreparation: GuestPreparation {
    private let quick: Set<ServerID>
    private let simulated = SimulatedGuestPreparation(diskGiB: 10)
    private let count = Atomic(0)

    init(quick: Set<ServerID>) { self.quick = quick }

    var begun: Int { count.load(ordering: .relaxed) }

    func prepare(_ guest: GuestSpecification) async throws(GuestFailure) -> GuestDefinition {
        guard !quick.contains(guest.id) else { return try await simulated.prepare(guest) }
        count.add(1, ordering: .relaxed)
        // Ends when the task is cancelled.
        let (never, sink) = AsyncStream.makeStream(of: Void.self)
        for await _ in never {}
        sink.finish()
        throw GuestFailure(reason: "cancelled", details: "cancelled", isPermanent: false)
    }

    func restore(_ guest: GuestSpecification) async throws(GuestFailure) -> GuestDefinition {
        try await simulated.restore(guest)
    }
    func remove(_ id: ServerID) async throws(GuestFailure) { try await simulated.remove(id) }
    func holdings() async throws(GuestFailure) -> HostHoldings { try await simulated.holdings() }
    func release(_ ports: [PortID]) async throws(GuestFailure) { try await simulated.release(ports) }
    func resume() async throws(GuestFailure) { try await simulated.resume() }
    func diskGiB() async throws(GuestFailure) -> Int { try await simulated.diskGiB() }
}

@Suite struct AgentServiceTests {
    @Test func tellsWhoItIsAndWhatItHasAtOnce() async throws {
        let fixture = try await AgentFixture()
        try await fixture.run {
            try await eventually("a heartbeat with inventory") {
                fixture.received(AgentHeartbeat.self, kind: AgentHeartbeat.kind).first?.inventory?.vcpus == 4
            }
        }
        let delivery = try #require(fixture.reports.withLock { $0 }.first)
        #expect(delivery.routingKey == "host.h1.heartbeat")
    }

    @Test func doesAStepOnceHoweverOftenItIsAsked() async throws {
        let fixture = try await AgentFixture()
        let guest = Sample.guest()
        let command = Sample.command(guest, .spawn(guest))
        try await fixture.run {
            for _ in 1...3 { try await fixture.send(command, kind: AgentCommand.kind) }
            try await eventually("three equal results") {
                fixture.received(StepResult.self, kind: StepResult.kind).count == 3
            }
        }
        let results = fixture.received(StepResult.self, kind: StepResult.kind)
        #expect(results.allSatisfy { $0.key == command.key && $0.outcome == .succeeded(power: .running) })
        #expect(try await fixture.driver.guests() == [guest.id: .running])
        let log = try await fixture.driver.consoleLog(of: guest.id, byteLimit: 1000)
        #expect(String(decoding: log, as: UTF8.self) == "simulated guest web ready\n", "it was started once")
    }

    @Test func reportsAFailureWithItsReason() async throws {
        let fixture = try await AgentFixture()
        let guest = Sample.guest()
        try await fixture.run {
            try await fixture.send(
                Sample.command(guest, .stop(graceSeconds: 0), step: "stop"), kind: AgentCommand.kind)
            try await eventually("a result") {
                !fixture.received(StepResult.self, kind: StepResult.kind).isEmpty
            }
        }
        let result = try #require(fixture.received(StepResult.self, kind: StepResult.kind).first)
        guard case .failed(let reason, _, let isPermanent) = result.outcome else {
            Issue.record("\(result.outcome)")
            return
        }
        #expect(isPermanent)
        #expect(reason == "The server is not on its host.")
    }

    @Test func answersAQuestionToItsAskerOnly() async throws {
        let fixture = try await AgentFixture()
        let guest = Sample.guest()
        try await fixture.run {
            try await fixture.send(Sample.command(guest, .spawn(guest)), kind: AgentCommand.kind)
            let query = AgentQuery(
                queryID: UUID(), asker: "me", instanceID: guest.id, question: .consoleOutput(lines: nil))
            try await eventually("the guest runs") {
                !fixture.received(StepResult.self, kind: StepResult.kind).isEmpty
            }
            try await fixture.send(query, kind: AgentQuery.kind)
            try await eventually("an answer") {
                fixture.received(AgentAnswer.self, kind: AgentAnswer.kind).first?.queryID == query.queryID
            }
        }
        let answer = fixture.received(AgentAnswer.self, kind: AgentAnswer.kind).first?.answer
        #expect(answer == .consoleOutput("simulated guest web ready\n"))
    }

    @Test func slowSpawnsHoldUpNeitherQueriesNorDestroys() async throws {
        let fixture = try await AgentFixture()
        let (running, doomed) = (Sample.guest(), Sample.guest())
        let slow = SlowPreparation(quick: [running.id, doomed.id])
        try await fixture.run(slow) {
            for guest in [running, doomed] {
                try await fixture.send(Sample.command(guest, .spawn(guest)), kind: AgentCommand.kind)
            }
            try await eventually("two guests run") {
                fixture.received(StepResult.self, kind: StepResult.kind).count == 2
            }
            // As many as the agent once took from its queue, and some.
            for _ in 0..<40 {
                let guest = Sample.guest()
                try await fixture.send(Sample.command(guest, .spawn(guest)), kind: AgentCommand.kind)
            }
            let query = AgentQuery(
                queryID: UUID(), asker: "me", instanceID: running.id, question: .consoleOutput(lines: nil))
            try await fixture.send(query, kind: AgentQuery.kind)
            let destroy = Sample.command(doomed, .destroy, step: "destroy")
            try await fixture.send(destroy, kind: AgentCommand.kind)
            try await eventually("the query is answered") {
                fixture.received(AgentAnswer.self, kind: AgentAnswer.kind).first?.queryID == query.queryID
            }
            try await eventually("the guest is gone") {
                fixture.received(StepResult.self, kind: StepResult.kind).last?.key == destroy.key
            }
            // Nothing says that the spawns begin before the rest ends.
            try await eventually("as many are begun as may be") { slow.begun >= AgentService.spawnLimit }
            #expect(slow.begun == AgentService.spawnLimit)
        }
        #expect(try await fixture.driver.guests() == [running.id: .running])
    }

    @Test func anUnreadableCommandIsDroppedAndTheNextOneIsDone() async throws {
        let fixture = try await AgentFixture()
        let guest = Sample.guest()
        try await fixture.run {
            try await fixture.send(["not": "a command"], kind: AgentCommand.kind)
            try await fixture.send(["who": "knows"], kind: "agent.unknown")
            try await fixture.send(Sample.command(guest, .spawn(guest)), kind: AgentCommand.kind)
            try await eventually("a result") {
                fixture.received(StepResult.self, kind: StepResult.kind).count == 1
            }
        }
        #expect(try await fixture.driver.guests().count == 1)
    }
}

import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import SagaEngine
import ServerLifecycle
import Synchronization
import Testing

@testable import Conductor

/// A conductor that is frozen for longer than its lease, whose saga is taken over, and that then goes on as if nothing
/// had happened: it does nothing. A conductor here is its loop alone, which stands still as long as nobody wakes it.
@Suite(.serialized, .timeLimit(.minutes(1))) struct FencingTests {
    private final class FrozenClock: WallClock {
        private let time = Mutex(testEpoch)
        func now() -> Date { time.withLock { $0 } }
        func advance(by seconds: TimeInterval) { time.withLock { $0 += seconds } }
    }

    private struct Conductor {
        let inbox = ReportInbox()
        let outlet: CommandOutlet
        let metrics = ConductorMetrics()
        private let name: String

        init(_ name: String, _ world: Cell) {
            self.name = name
            outlet = CommandOutlet(
                bus: world.bus, ids: ids, wallClock: world.clock, sender: name, timeout: .seconds(1), metrics: metrics,
                logger: quiet)
        }

        func run(in world: Cell) async {
            var settings = ConductorSettings()
            settings.leaseDuration = .seconds(10)
            var loop = ConductorLoop(
                cell: testCell, lease: SagaLease(owner: name, duration: settings.leaseDuration), store: world.store,
                bus: world.bus, clock: ContinuousClock(), wallClock: world.clock, ids: ids, settings: settings,
                inbox: inbox, outlet: outlet, metrics: metrics, logger: quiet)
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await outlet.run() }
                await loop.run()
                group.cancelAll()
            }
        }
    }

    /// The store, the broker, and what the host got, by sender.
    private final class Cell: Sendable {
        let clock = FrozenClock()
        let store: InMemoryCellStore
        let bus: any MessageBus
        private let got = Mutex<[(sender: String, key: StepKey)]>([])

        init() async throws {
            store = InMemoryCellStore(cell: testCell, wallClock: clock)
            bus = InMemoryBroker().connect()
            try await bus.declare(.cell)
            try await bus.declare(.host("host-1"))
            try await store.join("host-1")
        }

        func received(from sender: String) -> [StepKey] {
            got.withLock { $0 }.filter { $0.sender == sender }.map(\.key)
        }

        func receive() async throws {
            try await bus.consume(queue: CellTopology.hostQueue("host-1"), prefetch: 10) { [self] delivery in
                do {
                    let command = try JSONDecoder().decode(AgentCommand.self, from: delivery.envelope.body)
                    got.withLock { $0.append((delivery.envelope.sender, command.key)) }
                    return .acknowledge
                } catch {
                    return .reject
                }
            }
        }

        func saga(_ id: SagaID) async throws -> SagaRecord { try #require(try await store.sagas([id]).first) }
    }

    private func with(
        _ body: @escaping @Sendable (Cell, Conductor, Conductor, SagaID) async throws -> Void
    ) async throws {
        let cell = try await Cell()
        let (first, second) = (Conductor("c1", cell), Conductor("c2", cell))
        let saga = try await cell.store.admit(makeInstance())
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await cell.receive() }
            group.addTask { await first.run(in: cell) }
            group.addTask { await second.run(in: cell) }
            first.inbox.nudge()
            try await eventually("c1 has begun it") { cell.received(from: "c1").count == 1 }
            try await body(cell, first, second, saga)
            group.cancelAll()
        }
    }

    /// c1 stands still for 30 s and c2 takes its saga over.
    private func takeOver(_ cell: Cell, _ second: Conductor, _ saga: SagaID) async throws -> SagaRecord {
        cell.clock.advance(by: 30)
        second.inbox.tick()
        try await eventually("c2 has it") { cell.received(from: "c2").count == 1 }
        let taken = try await cell.saga(saga)
        #expect(taken.holder?.owner == "c2" && taken.leaseEpoch == 2)
        // Both commands are of the one attempt, so the host does it once.
        #expect(cell.received(from: "c1") == cell.received(from: "c2"))
        return taken
    }

    /// Wakes c1 and waits until it has gone round.
    private func thaw(_ first: Conductor, _ cell: Cell) async throws {
        first.inbox.tick()
        first.inbox.nudge()
        // It answers a report when it has looked at everything before it.
        let stray = StepResult(
            key: StepKey(saga: ids.next(), step: "x", generation: 1), instanceID: ids.next(),
            outcome: .succeeded(power: .running))
        for _ in 0..<2 {
            #expect(await first.inbox.deliver(.step(stray), from: "host-1", requestID: "-") == .acknowledge)
        }
    }

    @Test func theOneThatThawsSendsNothingAndWritesNothing() async throws {
        try await with { cell, first, second, saga in
            let taken = try await takeOver(cell, second, saga)
            try await thaw(first, cell)
            #expect(cell.received(from: "c1").count == 1)
            #expect(try await cell.saga(saga) == taken)
            // It does not come back to it later either.
            cell.clock.advance(by: 3)
            try await thaw(first, cell)
            #expect(cell.received(from: "c1").count == 1)
            #expect(try await cell.saga(saga) == taken)
        }
    }

    @Test func aCommandThatWaitedToBeSentWhenItFrozeIsNotSent() async throws {
        try await with { cell, first, second, saga in
            let validUntil = cell.clock.now() + 10
            let taken = try await takeOver(cell, second, saga)
            let command = AgentCommand(
                key: StepKey(saga: saga, step: "spawn", generation: 1), instanceID: taken.serverID, epoch: 1,
                work: .destroy)
            for host in ["host-1", "host-1"] {
                first.outlet.send(
                    .init(command: command, host: HostName(host), input: taken.input, validUntil: validUntil))
            }
            // One that is right whoever sends it comes through, behind them.
            let right = AgentCommand(
                key: StepKey(saga: saga, step: "leftover", generation: 9), instanceID: taken.serverID, epoch: 1,
                work: .destroy)
            first.outlet.send(.init(command: right, host: "host-1", input: taken.input))
            try await eventually("sent") { cell.received(from: "c1").contains(right.key) }
            #expect(cell.received(from: "c1").count == 2)
        }
    }

    @Test func itsTimersAreNone() async throws {
        try await with { cell, first, second, saga in
            _ = try await takeOver(cell, second, saga)
            // The attempt's time is over for c1's clock; c2 has it and has not looked yet.
            cell.clock.advance(by: 8)
            second.inbox.tick()
            try await eventually("c2 has kept it") {
                try await cell.saga(saga).holder.map { $0.until > cell.clock.now() + 9 } ?? false
            }
            let before = try await cell.saga(saga)
            for _ in 0..<3 { try await thaw(first, cell) }
            #expect(try await cell.saga(saga) == before)
            #expect(cell.received(from: "c1").count == 1)
        }
    }

    @Test func aReportThatItHadInHandIsTakenOnceWhoeverTakesIt() async throws {
        try await with { cell, first, second, saga in
            let taken = try await takeOver(cell, second, saga)
            let answer = StepResult(
                key: try #require(cell.received(from: "c2").first), instanceID: taken.serverID,
                outcome: .succeeded(power: .running))
            #expect(await second.inbox.deliver(.step(answer), from: "host-1", requestID: "-") == .acknowledge)
            let ended = try await cell.saga(saga)
            #expect(ended.state == .succeeded)
            #expect(await first.inbox.deliver(.step(answer), from: "host-1", requestID: "-") == .acknowledge)
            try await thaw(first, cell)
            #expect(try await cell.saga(saga) == ended)
            #expect(try await cell.store.unpublishedEvents(confirmed: nil, limit: 10).count == 2)
        }
    }
}

import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Synchronization
import TestSupport
import Testing

@Suite(.timeLimit(.minutes(2))) struct ChildRouterTests {
    /// A connection on which every call ends in the same way.
    private struct FailingBus: MessageBus {
        let error: BusError
        var isConnected: Bool { true }
        func declare(_ topology: BusTopology) async throws(BusError) { throw error }
        func publish(
            _ envelope: Envelope, to address: BusAddress, mandatory: Bool, timeout: Duration
        ) async throws(BusError) { throw error }
        func consume(
            queue: String, prefetch: Int, handler: @escaping @Sendable (BusDelivery) async -> Disposition
        ) async throws(BusError) { throw error }
        func call(
            _ envelope: Envelope, queue: String, timeout: Duration, unless ring: NextRing?
        ) async throws(BusError) -> Envelope {
            throw error
        }
        func serve(
            queue: String, concurrency: Int, handler: @escaping @Sendable (Envelope) async -> Envelope?
        ) async throws(BusError) { throw error }
        func close() async {}
    }

    /// Whoever learns that nothing was carried out may ask another cell: it must be true.
    @Test(arguments: [
        (BusError.unroutable("supervisor"), CellError.unreachable(testCell)),
        (.disconnected("lost"), .timedOut(testCell)), (.closed, .timedOut(testCell)),
        (.timedOut("call"), .timedOut(testCell)), (.tooManyInFlight("calls"), .overloaded(testCell)),
    ]) func aRequestThatMayHaveArrivedIsNotCalledUnreachable(_ cause: BusError, _ expected: CellError) async throws {
        let router = ChildRouter(sender: "test", ids: SystemIDSource(), wallClock: SystemWallClock()) { _ in
            FailingBus(error: cause)
        }
        let bus = CellMapping.Endpoint(host: "h", port: 1, vhost: "v", user: "u", password: Secret("p"))
        await router.update([
            CellMapping(
                path: testCell, bus: bus, health: .up, reason: nil,
                since: SystemWallClock().now(), heartbeat: nil)
        ])
        let context = CellCallContext(
            requestID: "req", caller: nil, deadline: SystemWallClock().now().addingTimeInterval(60))
        await #expect(throws: expected) {
            _ = try await router.send(EventsRequest(after: 0), to: testCell, context: context)
        }
    }

    // MARK: Children that are ill

    /// A connection whose calls hang, fail or are answered, as the test says.
    private final class MoodyBus: MessageBus {
        enum Mood { case hangs, fails, answers }
        let mood = Mutex(Mood.answers)
        let calls = Mutex(0)
        let keys = Mutex<[String]>([])

        var isConnected: Bool { true }
        func declare(_ topology: BusTopology) async throws(BusError) {}
        func publish(
            _ envelope: Envelope, to address: BusAddress, mandatory: Bool, timeout: Duration
        ) async throws(BusError) {}
        func consume(
            queue: String, prefetch: Int, handler: @escaping @Sendable (BusDelivery) async -> Disposition
        ) async throws(BusError) {}
        func call(
            _ envelope: Envelope, queue: String, timeout: Duration, unless ring: NextRing?
        ) async throws(BusError) -> Envelope {
            calls.withLock { $0 += 1 }
            keys.withLock { $0.append(envelope.idempotencyKey) }
            switch mood.withLock({ $0 }) {
            case .hangs:
                await (ring ?? Alarm().next).wait()
                throw Task.isCancelled ? .cancelled : .calledOff
            case .fails: throw .timedOut("call")
            case .answers:
                do {
                    return try CellCall.reply(
                        to: envelope, as: EventsRequest.self, .init(events: [], newest: 0), messageID: UUID(),
                        sender: "test")
                } catch {
                    throw .malformed("\(error)")
                }
            }
        }
        func serve(
            queue: String, concurrency: Int, handler: @escaping @Sendable (Envelope) async -> Envelope?
        ) async throws(BusError) {}
        func close() async {}
    }

    private final class StillClock: WallClock {
        private let time = Mutex(testEpoch)
        func now() -> Date { time.withLock { $0 } }
        func advance(by seconds: TimeInterval) { time.withLock { $0 += seconds } }
    }

    private struct Parts {
        let bus = MoodyBus()
        let clock = StillClock()
        let router: ChildRouter

        init() {
            router = ChildRouter(sender: "test", ids: SystemIDSource(), wallClock: clock) { [bus] _ in bus }
        }

        func map(_ health: CellStatus.Health) async {
            let bus = CellMapping.Endpoint(host: "h", port: 1, vhost: "v", user: "u", password: Secret("p"))
            await router.update([CellMapping(path: testCell, bus: bus, health: health, reason: nil, since: testEpoch)])
        }

        func ask() async throws(CellError) {
            let context = CellCallContext(requestID: "req", caller: nil, deadline: clock.now() + 60)
            _ = try await router.send(EventsRequest(after: 0), to: testCell, context: context)
        }

        var calls: Int { bus.calls.withLock { $0 } }
    }

    @Test func aRequestBearsTheKeyOfItsCallOrOneOfItsOwn() async throws {
        let parts = Parts()
        await parts.map(.up)
        for key in ["key", "key", nil, nil] {
            let context = CellCallContext(
                requestID: "req", caller: nil, deadline: parts.clock.now() + 60, idempotencyKey: key)
            _ = try await parts.router.send(EventsRequest(after: 0), to: testCell, context: context)
        }
        let keys = parts.bus.keys.withLock { $0 }
        #expect(keys.prefix(2) == ["key", "key"])
        #expect(Set(keys).count == 3)
    }

    @Test func nobodyWaitsForAChildThatIsKnownToBeDown() async throws {
        let parts = Parts()
        await parts.map(.up)
        parts.bus.mood.withLock { $0 = .hangs }
        try await withThrowingTaskGroup(of: CellError?.self) { group in
            for _ in 0..<10 {
                group.addTask {
                    do throws(CellError) { try await parts.ask() } catch { return error }
                    return nil
                }
            }
            try await eventually("all have called") { parts.calls == 10 }
            await parts.map(.down)
            for try await error in group { #expect(error == .timedOut(testCell)) }
        }
        await #expect(throws: CellError.unreachable(testCell)) { try await parts.ask() }
        #expect(parts.calls == 10, "it was not called again")
    }

    @Test func aChildThatOnlyThisProcessCantReachIsTriedByTheProbeAlone() async throws {
        let parts = Parts()
        await parts.map(.up)
        parts.bus.mood.withLock { $0 = .fails }
        for _ in 0..<CircuitBreaker.threshold {
            await #expect(throws: CellError.timedOut(testCell)) { try await parts.ask() }
        }
        await #expect(throws: CellError.unreachable(testCell)) { try await parts.ask() }
        #expect(await parts.router.cells().map(\.health) == [.down])
        #expect(parts.calls == CircuitBreaker.threshold)
        await parts.router.probe()
        #expect(parts.calls == CircuitBreaker.threshold, "too early")
        parts.clock.advance(by: 1)
        await parts.router.probe()
        #expect(parts.calls == CircuitBreaker.threshold + 1)
        await #expect(throws: CellError.unreachable(testCell)) { try await parts.ask() }
        parts.bus.mood.withLock { $0 = .answers }
        parts.clock.advance(by: 1)
        await parts.router.probe()
        try await parts.ask()
        #expect(await parts.router.cells().map(\.health) == [.up])
    }

    @Test func aSlowChildHasABoundOfItsOwn() async throws {
        let parts = Parts()
        await parts.map(.slow)
        parts.bus.mood.withLock { $0 = .hangs }
        let turnedAway = Counter()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<2 * ChildRouter.callLimit + 5 {
                group.addTask {
                    do throws(CellError) { try await parts.ask() } catch {
                        if error == .overloaded(testCell) { turnedAway.add() }
                    }
                }
            }
            // Nobody else ends before they are cancelled.
            try await eventually("those are turned away for whom there is no place") { turnedAway.value == 5 }
            try await eventually("as many as may have called") { parts.calls == ChildRouter.callLimit }
            group.cancelAll()
        }
        #expect(turnedAway.value == 5)
    }
}

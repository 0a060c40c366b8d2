import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Testing

@Suite struct ChildRouterTests {
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
        func call(_ envelope: Envelope, queue: String, timeout: Duration) async throws(BusError) -> Envelope {
            throw error
        }
        func serve(
            queue: String, concurrency: Int, handler: @escaping @Sendable (Envelope) async -> Envelope
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
}

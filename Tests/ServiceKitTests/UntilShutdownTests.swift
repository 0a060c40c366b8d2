import Primitives
import ServiceKit
import ServiceLifecycleTestKit
import Testing

@Suite(.timeLimit(.minutes(2))) struct UntilShutdownTests {
    private struct Refusal: Error {}

    @Test func endsWithItsBody() async throws { try await runUntilShutdown {} }

    @Test func throwsWhatItsBodyThrows() async {
        await #expect(throws: Refusal.self) { try await runUntilShutdown { throw Refusal() } }
    }

    @Test func aGracefulShutdownCancelsItsBody() async throws {
        try await testGracefulShutdown { trigger in
            try await Self.endsWhen { trigger.triggerGracefulShutdown() }
        }
    }

    @Test func aCancellationReachesItsBody() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            let isBegun = Nudge()
            group.addTask { try await Self.body(isBegun) }
            await isBegun.wait()
            group.cancelAll()
            try await group.waitForAll()
        }
    }

    private static func endsWhen(_ trigger: @Sendable () -> Void) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            let isBegun = Nudge()
            group.addTask { try await Self.body(isBegun) }
            await isBegun.wait()
            trigger()
            try await group.waitForAll()
        }
    }

    /// Ends only when it is cancelled.
    private static func body(_ isBegun: Nudge) async throws {
        try await runUntilShutdown {
            isBegun.signal()
            await Nudge().wait()
            #expect(Task.isCancelled)
        }
    }
}

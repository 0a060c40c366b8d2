import Primitives
import ServiceLifecycle

/// Runs `body`, and cancels it when the process is asked to end; returns when it has ended.
///
/// Every task of it is a child of the caller's, so a service that runs this way can be followed by a simulation. The
/// library's own `cancelWhenGracefulShutdown` learns of a cancellation through a task that is nobody's child.
package func runUntilShutdown(_ body: @escaping @Sendable () async throws -> Void) async throws {
    let shutdown = Nudge()
    try await withGracefulShutdownHandler {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await body() }
            group.addTask { await shutdown.wait() }
            defer { group.cancelAll() }
            try await group.next()
            group.cancelAll()
            try await group.waitForAll()
        }
    } onGracefulShutdown: {
        shutdown.signal()
    }
}

import Dispatch

/// Runs what blocks on a thread of its own. A server takes seconds to start: on a thread of the cooperative pool, of which
/// there are as many as processors, that would hold up every other test.
package enum BlockingWork {
    package static func run<Value: Sendable>(_ body: @escaping @Sendable () -> Value) async -> Value {
        await withCheckedContinuation { continuation in
            // The queue adds threads while others block.
            DispatchQueue.global().async { continuation.resume(returning: body()) }
        }
    }
}

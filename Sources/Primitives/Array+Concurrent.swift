import Dispatch
import Synchronization

extension Array where Element: Sendable {
    /// As `map`, on all processors. For work that takes microseconds or more an element and waits for nothing.
    package func concurrentMap<Result: Sendable>(_ transform: @Sendable (Element) -> Result) -> [Result] {
        // Enough that no processor waits long for the last.
        let parts = Swift.min(count, 64)
        let results = Mutex<[[Result]]>(Array<[Result]>(repeating: [], count: parts))
        DispatchQueue.concurrentPerform(iterations: parts) { part in
            let result = self[part * count / parts..<(part + 1) * count / parts].map(transform)
            results.withLock { $0[part] = result }
        }
        return results.withLock { $0.flatMap(\.self) }
    }
}

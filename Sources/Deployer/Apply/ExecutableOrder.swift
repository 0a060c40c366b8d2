import Primitives
import Synchronization

/// Has processes of one host that share an executable wait for the first of them, so that it travels once.
final class ExecutableOrder: Sendable {
    /// Processes of one host that may wait for each other.
    private static let waiting = 10_000

    private let orders = Mutex<[String: Bulkhead]>([:])

    func run(host: String, digest: String, _ body: () async throws -> Void) async throws {
        let key = "\(host) \(digest)"
        let order = orders.withLock { orders in
            let order = orders[key] ?? Bulkhead(name: "executables", limit: 1, waiting: Self.waiting)
            orders[key] = order
            return order
        }
        try await order.run { try await body() }
    }
}

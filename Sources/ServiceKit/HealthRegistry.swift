import Synchronization

/// What a process says of itself at `/healthz`: every part reports its own state, requests only read it.
package final class HealthRegistry: Sendable {
    package enum Condition: Sendable, Equatable {
        case up
        /// Not ready or broken; the text is for operators and has no secret in it.
        case down(String)
    }

    private let parts = Mutex<[String: @Sendable () -> Condition]>([:])

    package init() {}

    /// Adds a part, such as `bus`; `probe` must be quick and must not block.
    package func watch(_ part: String, _ probe: @escaping @Sendable () -> Condition) {
        parts.withLock { $0[part] = probe }
    }

    /// All parts, and whether all are up.
    package func snapshot() -> (isUp: Bool, conditions: [String: Condition]) {
        let conditions = parts.withLock { $0 }.mapValues { $0() }
        return (conditions.values.allSatisfy { $0 == .up }, conditions)
    }

    /// The body of `/healthz`: `{"status":"up","parts":{"bus":"up"}}`.
    package func render() -> (isUp: Bool, json: String) {
        let (isUp, conditions) = snapshot()
        let parts = conditions.sorted { $0.key < $1.key }.map { part, condition in
            switch condition {
            case .up: "\"\(part)\":\"up\""
            case .down(let reason):
                "\"\(part)\":\"down: \(reason.replacing("\\", with: "/").replacing("\"", with: "'"))\""
            }
        }
        return (isUp, "{\"status\":\"\(isUp ? "up" : "down")\",\"parts\":{\(parts.joined(separator: ","))}}")
    }
}

package import MessageBus

/// What happens to a connection behind its users' backs, for logs and metrics. Holds no secret.
package enum RabbitMQNotice: Sendable, Equatable, CustomStringConvertible {
    case connected
    case connectFailed(BusError, retryIn: Duration)
    case disconnected(BusError)
    /// The broker is short of memory or disk: nothing is sent until ``unblocked``.
    case blocked(reason: String)
    case unblocked
    /// A message that can't be read was dropped.
    case malformedMessage(queue: String, detail: String)
    /// After a reconnect something could not be declared again.
    case redeclareFailed(BusError)
    /// The broker ended a consumer, which is tried again.
    case consumerLost(queue: String, detail: String)

    package var description: String {
        switch self {
        case .connected: "connected to the message broker"
        case .connectFailed(let error, let delay): "\(error); next try in \(delay)"
        case .disconnected(let error): error.description
        case .blocked(let reason): "the message broker takes no messages: \(reason)"
        case .unblocked: "the message broker takes messages again"
        case .malformedMessage(let queue, let detail): "dropped a message of queue \"\(queue)\": \(detail)"
        case .redeclareFailed(let error): "could not declare again: \(error)"
        case .consumerLost(let queue, let detail): "lost the consumer of queue \"\(queue)\": \(detail)"
        }
    }
}

import FoundationEssentials

/// What the broker sends, with everything copied out of the library's memory.
enum AMQPFrame {
    case method(channel: UInt16, AMQPMethod)
    case header(channel: UInt16, ContentHeader)
    case body(channel: UInt16, Data)
    /// Of no concern to us.
    case other
}

enum AMQPMethod {
    case channelOpened
    case channelCloseConfirmed
    case channelClosed(code: Int, text: String)
    case connectionClosed(code: Int, text: String)
    case blocked(reason: String)
    case unblocked
    /// An exchange, a queue or a binding.
    case declared
    case confirmsSelected
    case prefetchSet
    case consuming
    /// The broker ended a consumer, for instance because its queue was deleted.
    case consumerCancelled
    case delivered(Delivered)
    case returned(reason: String)
    case confirmed(tag: UInt64, multiple: Bool, isPositive: Bool)
    case other
}

struct Delivered {
    let tag: UInt64
    let isRedelivered: Bool
    let exchange: String
    let routingKey: String
}

struct ContentHeader {
    let bodyBytes: UInt64
    let correlationID: String?
    let replyTo: String?
    /// How long it was worth something when it was sent.
    let expiration: Duration?
    /// The `cw-envelope` header.
    let envelopeHead: Data?
}

/// A message on its way out.
struct OutgoingMessage: Sendable {
    let messageID: String
    let envelopeHead: Data
    let body: Data
    var correlationID: String?
    var replyTo: String?
    /// When the broker may drop it.
    var expiration: Duration?
    var isPersistent = false
}

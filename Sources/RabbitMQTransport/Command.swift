import FoundationEssentials
import MessageBus

/// What the connection's users ask of the thread that owns it.
enum Command: Sendable {
    case declare(DeclareJob)
    case publish(PublishJob)
    case call(CallJob)
    case consume(ConsumeJob)
    /// No more deliveries, please; what is in hand may still be settled.
    case stopConsumer(ConsumerID)
    /// The consumer's handlers have ended; whatever it still has in hand goes back to the queue.
    case endConsumer(ConsumerID, OperationID)
    case settle(DeliveryReference, Disposition)
    /// Answers a call and acknowledges it.
    case answer(DeliveryReference, OutgoingMessage, replyTo: String)
    /// Nobody waits for this operation any more.
    case forget(OperationID)
}

typealias OperationID = UInt64
typealias ConsumerID = UInt64

struct DeclareJob: Sendable {
    let id: OperationID
    let topology: BusTopology
}

struct PublishJob: Sendable {
    let id: OperationID
    let address: BusAddress
    let isMandatory: Bool
    let message: OutgoingMessage
}

struct CallJob: Sendable {
    let id: OperationID
    let queue: String
    let deadline: MonotonicTime
    let message: OutgoingMessage
}

struct ConsumeJob: Sendable {
    let id: ConsumerID
    let queue: String
    let prefetch: Int
    let mailbox: Mailbox<ReceivedMessage>
}

/// One delivery, in the channel it came through: a tag means nothing in another one.
struct DeliveryReference: Sendable {
    let consumer: ConsumerID
    let generation: UInt64
    let tag: UInt64
}

struct ReceivedMessage: Sendable {
    let reference: DeliveryReference
    let isRedelivered: Bool
    let exchange: String
    let routingKey: String
    let correlationID: String?
    let replyTo: String?
    /// How long it was worth something when it was sent.
    let expiration: Duration?
    let envelopeHead: Data?
    let body: Data
}

/// What an operation ends with, apart from errors.
enum Outcome: Sendable {
    case done
    case reply(envelopeHead: Data?, body: Data)
}

import CellProtocol
import CloudModel
import CoreMetrics
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle

/// Sends commands to hosts beside the conductor's loop, so that a slow broker holds up no transaction.
///
/// A command that can't be sent is dropped with a word in the log: it is in the database, and is sent again from there.
struct CommandOutlet: Sendable {
    /// Commands waiting to be sent.
    static let queueLimit = 10_000
    /// Commands being confirmed by the broker at once.
    static let concurrency = 32

    struct Order: Sendable {
        let command: AgentCommand
        let host: HostName
        let input: SagaInput
        /// When somebody else may have taken the saga; nil for a command that is right whoever sends it.
        var validUntil: Date?
    }

    private let bus: any MessageBus
    private let ids: any IDSource
    private let wallClock: any WallClock
    private let sender: String
    private let timeout: Duration
    private let metrics: ConductorMetrics
    private let logger: Logger
    private let orders: AsyncStream<Order>
    private let entrance: AsyncStream<Order>.Continuation

    init(
        bus: any MessageBus, ids: any IDSource, wallClock: any WallClock, sender: String, timeout: Duration,
        metrics: ConductorMetrics, logger: Logger
    ) {
        self.bus = bus
        self.ids = ids
        self.wallClock = wallClock
        self.sender = sender
        self.timeout = timeout
        self.metrics = metrics
        self.logger = logger
        (orders, entrance) = AsyncStream.makeStream(bufferingPolicy: .bufferingOldest(Self.queueLimit))
    }

    func send(_ order: Order) {
        if case .dropped = entrance.yield(order) { metrics.commandsDropped.increment() }
    }

    /// Sends until cancelled.
    func run() async {
        await withTaskGroup(of: Void.self) { group in
            var running = 0
            for await order in orders {
                if running >= Self.concurrency {
                    await group.next()
                    running -= 1
                }
                group.addTask { await publish(order) }
                running += 1
            }
        }
    }

    private func publish(_ order: Order) async {
        let metadata: Logger.Metadata = [
            "server.id": "\(order.command.instanceID)", "host": "\(order.host)",
            "saga.step": "\(order.command.key)", "request.id": "\(order.input.requestID)",
        ]
        if let validUntil = order.validUntil, validUntil <= wallClock.now() {
            metrics.commandsFenced.increment()
            logger.notice("command is not sent: its saga may be another conductor's", metadata: metadata)
            return
        }
        do {
            let envelope = Envelope(
                messageID: ids.uuid(), idempotencyKey: order.command.key.description,
                requestID: order.input.requestID, traceParent: order.input.traceParent, sender: sender,
                kind: AgentCommand.kind, body: try JSONEncoder().encode(order.command))
            try await publish(envelope, to: order.host)
            metrics.commandsSent.increment()
            logger.debug("command sent", metadata: metadata)
        } catch {
            metrics.commandsFailed.increment()
            logger.warning("command will be sent again", metadata: metadata.merging(["error": "\(error)"]) { $1 })
        }
    }

    private func publish(_ envelope: Envelope, to host: HostName) async throws(BusError) {
        let address = CellTopology.commandAddress(host: host.text)
        do throws(BusError) {
            try await bus.publish(envelope, to: address, mandatory: true, timeout: timeout)
        } catch .unroutable {
            // A broker that lost its data: the queue is ours to make, the agent waits for it.
            try await bus.declare(.host(host.text))
            try await bus.publish(envelope, to: address, mandatory: true, timeout: timeout)
        }
    }
}

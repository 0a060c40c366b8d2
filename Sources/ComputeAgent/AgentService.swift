import CellProtocol
package import CloudModel
import FoundationEssentials
package import HypervisorDriver
package import Logging
package import MessageBus
package import Primitives
import ServiceKit
import ServiceLifecycle

/// A compute host's agent: takes commands from its own queue, does them once, reports, and tells every few seconds that
/// it lives. It knows its cell's virtual host, its hypervisor and the image service, and nothing else.
///
/// Sequence of a step: command -> journal asked -> work -> journal written -> result confirmed by the broker -> command
/// acknowledged. A crash anywhere leads to a redelivery, which the journal answers or the work repeats harmlessly.
package struct AgentService: Service {
    /// Commands and queries in hand at once. Far more than are worked on, so that a query or a destroy does not stay in
    /// the queue behind spawns that wait their turn; few enough that the last is done, and acknowledged, within the half
    /// hour after which the broker takes everything back.
    package static let prefetch = 128
    /// Guests that are made at once: emulated ones keep a processor busy while they boot.
    package static let spawnLimit = 4
    /// Commands of other kinds, destroys among them, that are worked on at once.
    package static let changeLimit = 16
    /// Queries that are answered at once.
    package static let queryLimit = 8
    package static let heartbeatInterval: Duration = .seconds(2)
    /// Every so many heartbeats, inventory and guests go along.
    package static let fullHeartbeatEvery = 30
    package static let publishTimeout: Duration = .seconds(10)

    package struct Identity: Sendable {
        package var host: HostName
        package var providerID: ProviderID
        package var availabilityZone: String

        package init(host: HostName, providerID: ProviderID, availabilityZone: String) {
            self.host = host
            self.providerID = providerID
            self.availabilityZone = availabilityZone
        }
    }

    let identity: Identity
    let bus: any MessageBus
    let driver: any HypervisorDriver
    private let worker: GuestWorker
    private let journal: StepJournal
    let inventory: @Sendable () async throws -> HostInventory
    let holdings: @Sendable () async throws -> HostHoldings
    private let queues = InstanceQueues()
    private let spawns = Bulkhead(name: "spawns", limit: spawnLimit, waiting: prefetch)
    private let changes = Bulkhead(name: "changes", limit: changeLimit, waiting: prefetch)
    private let queries = Bulkhead(name: "queries", limit: queryLimit, waiting: prefetch)
    let clock: any Clock<Duration>
    let wallClock: any WallClock
    private let ids: any IDSource
    let logger: Logger

    /// - Parameters:
    ///   - inventory: measures the host; asked with every full heartbeat.
    ///   - holdings: looks at what is here beside the guests; asked as often.
    package init(
        identity: Identity, bus: any MessageBus, driver: any HypervisorDriver, worker: GuestWorker,
        journal: StepJournal,
        inventory: @escaping @Sendable () async throws -> HostInventory,
        holdings: @escaping @Sendable () async throws -> HostHoldings = { HostHoldings() },
        clock: any Clock<Duration>, wallClock: any WallClock, ids: any IDSource, logger: Logger
    ) {
        self.identity = identity
        self.bus = bus
        self.driver = driver
        self.worker = worker
        self.journal = journal
        self.inventory = inventory
        self.holdings = holdings
        self.clock = clock
        self.wallClock = wallClock
        self.ids = ids
        self.logger = logger
    }

    package func run() async throws {
        try await runUntilShutdown {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await self.receive() }
                group.addTask { try await self.beat() }
                group.addTask { try await self.watchGuests() }
                try await group.next()
                group.cancelAll()
            }
        }
    }

    // MARK: Commands

    private func receive() async throws {
        let backoff = Backoff()
        var attempt = 0
        while !Task.isCancelled {
            do throws(BusError) {
                try await bus.consume(queue: CellTopology.hostQueue(identity.host.text), prefetch: Self.prefetch) {
                    await self.handle($0)
                }
                return
            } catch .cancelled {
                return
            } catch {
                // The queue is made by the cell's supervisor: until it has, or while the broker is away, try again.
                logger.warning("can't receive commands", metadata: ["error": "\(error)"])
                var random = ids.chance()
                try await clock.sleep(for: backoff.delay(attempt: attempt, using: &random))
                attempt += 1
            }
        }
    }

    private func handle(_ delivery: BusDelivery) async -> Disposition {
        do {
            switch delivery.envelope.kind {
            case AgentCommand.kind:
                let command = try JSONDecoder().decode(AgentCommand.self, from: delivery.envelope.body)
                return await queues.run(command.instanceID) { await perform(command, delivery.envelope) }
            case AgentQuery.kind:
                let query = try JSONDecoder().decode(AgentQuery.self, from: delivery.envelope.body)
                try await queries.run { await answer(query, delivery.envelope) }
                return .acknowledge
            default:
                logger.warning("unknown command", metadata: ["bus.kind": "\(delivery.envelope.kind)"])
                return .reject
            }
        } catch is CancellationError {
            return .retry
        } catch {
            logger.error(
                "unreadable command", metadata: ["error": "\(error)", "bus.kind": "\(delivery.envelope.kind)"])
            return .reject
        }
    }

    private func perform(_ command: AgentCommand, _ envelope: Envelope) async -> Disposition {
        let outcome: StepResult.Outcome
        switch journal.verdict(on: command) {
        case .repeated(let earlier): outcome = earlier
        case .stale:
            outcome = .failed(
                reason: "The request was overtaken by a newer one.", details: "epoch \(command.epoch) is over here",
                isPermanent: true)
        case .perform:
            outcome = await work(command, envelope)
            if Task.isCancelled { return .retry }
            do throws(StepJournal.Failure) {
                try journal.finish(command, outcome)
            } catch {
                // Without the memory a repeat could do it twice; what was done is harmless to repeat, so ask for that.
                logger.error("step is not remembered", metadata: ["error": "\(error)", "saga.step": "\(command.key)"])
            }
        }
        let result = StepResult(key: command.key, instanceID: command.instanceID, outcome: outcome)
        let isSent = await report(
            result, kind: StepResult.kind, route: "result", requestID: envelope.requestID,
            idempotencyKey: command.key.description)
        return isSent ? .acknowledge : .retry
    }

    private func work(_ command: AgentCommand, _ envelope: Envelope) async -> StepResult.Outcome {
        let metadata: Logger.Metadata = [
            "server.id": "\(command.instanceID)", "saga.step": "\(command.key)", "request.id": "\(envelope.requestID)",
        ]
        do {
            let power = try await room(for: command.work).run {
                try await worker.perform(command.work, on: command.instanceID)
            }
            logger.info("step done", metadata: metadata)
            return .succeeded(power: power)
        } catch let failure as GuestFailure {
            logger.warning("step failed", metadata: metadata.merging(["error": "\(failure)"]) { $1 })
            return .failed(reason: failure.reason, details: failure.details, isPermanent: failure.isPermanent)
        } catch {
            logger.warning("step failed", metadata: metadata.merging(["error": "\(error)"]) { $1 })
            return .failed(reason: "The host is too busy.", details: "\(error)", isPermanent: false)
        }
    }

    private func room(for work: AgentWork) -> Bulkhead {
        if case .spawn = work { spawns } else { changes }
    }

    private func answer(_ query: AgentQuery, _ envelope: Envelope) async {
        let answer: AgentAnswer.Answer
        switch query.question {
        case .consoleOutput(let lines):
            do throws(HypervisorError) {
                let bytes = try await driver.consoleLog(of: query.instanceID, byteLimit: ConsoleOutputRequest.byteLimit)
                answer = .consoleOutput(Self.tail(of: bytes, lines: lines))
            } catch .notFound {
                answer = .notFound
            } catch {
                answer = .failed(reason: "\(error)")
            }
        }
        let address = CellTopology.replyAddress(host: identity.host.text, asker: query.asker)
        _ = await publish(
            AgentAnswer(queryID: query.queryID, answer: answer), kind: AgentAnswer.kind, to: address,
            requestID: envelope.requestID, idempotencyKey: nil)
    }

    /// The last `lines` lines as text; bytes that are no UTF-8 become replacement characters.
    static func tail(of bytes: [UInt8], lines: Int?) -> String {
        guard let lines else { return String(decoding: bytes, as: UTF8.self) }
        guard lines > 0 else { return "" }
        var start = bytes.endIndex
        var seen = 0
        let end = bytes.last == UInt8(ascii: "\n") ? bytes.endIndex - 1 : bytes.endIndex
        start = end
        while start > bytes.startIndex {
            if bytes[start - 1] == UInt8(ascii: "\n") {
                seen += 1
                if seen == lines { break }
            }
            start -= 1
        }
        return String(decoding: bytes[start...], as: UTF8.self)
    }

    // MARK: News

    private func watchGuests() async throws {
        for await change in driver.lifecycleEvents {
            let report = GuestLifecycleReport(
                guest: GuestReport(id: change.id, power: change.power), seenAt: wallClock.now())
            _ = await self.report(
                report, kind: GuestLifecycleReport.kind, route: "lifecycle", requestID: "-", idempotencyKey: nil)
        }
        // The driver was closed: the process is ending, and the group's other parts end it.
        while !Task.isCancelled { try await clock.sleep(for: .seconds(3600)) }
    }

    private func report(
        _ message: some Encodable, kind: String, route: String, requestID: String, idempotencyKey: String?
    ) async -> Bool {
        let address = CellTopology.reportAddress(host: identity.host.text, kind: route)
        return await publish(message, kind: kind, to: address, requestID: requestID, idempotencyKey: idempotencyKey)
    }

    /// Sends until the broker has it; false only when cancelled or when the message can never be sent.
    private func publish(
        _ message: some Encodable, kind: String, to address: BusAddress, requestID: String, idempotencyKey: String?
    ) async -> Bool {
        let backoff = Backoff()
        var attempt = 0
        do {
            let envelope = try makeEnvelope(message, kind: kind, requestID: requestID, idempotencyKey: idempotencyKey)
            while !Task.isCancelled {
                do throws(BusError) {
                    try await bus.publish(envelope, to: address, mandatory: false, timeout: Self.publishTimeout)
                    return true
                } catch .malformed(let detail) {
                    logger.error("report can't be sent", metadata: ["error": "\(detail)"])
                    return true
                } catch {
                    logger.warning("report will be sent again", metadata: ["error": "\(error)"])
                }
                var random = ids.chance()
                try await clock.sleep(for: backoff.delay(attempt: attempt, using: &random))
                attempt += 1
            }
        } catch {
            logger.debug("report was not sent", metadata: ["error": "\(error)"])
        }
        return false
    }

    func makeEnvelope(
        _ message: some Encodable, kind: String, requestID: String, idempotencyKey: String?
    ) throws -> Envelope {
        Envelope(
            messageID: ids.uuid(), idempotencyKey: idempotencyKey, requestID: requestID,
            sender: "compute@\(identity.host)", kind: kind, body: try JSONEncoder().encode(message))
    }
}

import CellProtocol
import CloudModel
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle
import Synchronization

/// Asks hosts what is not kept anywhere, such as console output, and matches their answers.
///
/// Agents may answer only on `reports`, so answers come to a queue of this supervisor's own, which goes with its
/// connection.
final class HostQuestions: Sendable {
    /// Questions open at once.
    static let limit = 256

    private struct Waiter {
        let hostKey: String
        let answer: AsyncStream<AgentAnswer.Answer>.Continuation
    }

    private let parts: CellParts
    /// One word of a routing key.
    private let asker: String
    private let waiters = Mutex<[UUID: Waiter]>([:])

    init(parts: CellParts) {
        self.parts = parts
        asker = "s" + parts.ids.uuid().uuidString.lowercased().filter { $0 != "-" }
    }

    /// Receives answers until cancelled.
    func run() async {
        await parts.persistently("answers can't be received") {
            try await parts.bus.declare(.replies(asker: asker))
            try await parts.bus.consume(queue: "replies.\(asker)", prefetch: Self.limit) { self.take($0) }
        }
    }

    /// - Returns: nil when no answer came before `deadline`.
    func ask(
        _ question: AgentQuery.Question, about id: ServerID, on host: HostName, requestID: String, deadline: Date?
    ) async -> AgentAnswer.Answer? {
        let now = parts.wallClock.now()
        let timeout = deadline.map { Duration.seconds($0.timeIntervalSince(now)) } ?? parts.settings.queryTimeout
        guard timeout > .zero else { return nil }
        let queryID = parts.ids.uuid()
        let (stream, continuation) = AsyncStream.makeStream(
            of: AgentAnswer.Answer.self, bufferingPolicy: .bufferingOldest(1))
        let isTaken = waiters.withLock { waiters in
            guard waiters.count < Self.limit else { return false }
            waiters[queryID] = Waiter(hostKey: CellTopology.hostKey(host.text), answer: continuation)
            return true
        }
        guard isTaken else { return .failed(reason: "too many questions at once") }
        defer { waiters.withLock { $0[queryID] = nil } }
        let query = AgentQuery(queryID: queryID, asker: asker, instanceID: id, question: question)
        do {
            let envelope = Envelope(
                messageID: queryID, requestID: requestID, deadline: now + timeout.timeInterval, sender: parts.sender,
                kind: AgentQuery.kind, body: try JSONEncoder().encode(query))
            try await parts.bus.publish(
                envelope, to: CellTopology.commandAddress(host: host.text), mandatory: true, timeout: timeout)
        } catch {
            parts.logger.warning("a host can't be asked", metadata: ["host": "\(host)", "error": "\(error)"])
            return .failed(reason: "the server's host can't be reached")
        }
        return await first(of: stream, within: timeout)
    }

    private func first(
        of stream: AsyncStream<AgentAnswer.Answer>, within timeout: Duration
    ) async -> AgentAnswer.Answer? {
        await withTaskGroup(of: AgentAnswer.Answer?.self) { [parts] group in
            group.addTask {
                for await answer in stream { return answer }
                return nil
            }
            group.addTask {
                _ = await parts.pause(timeout)
                return nil
            }
            defer { group.cancelAll() }
            return await group.next() ?? nil
        }
    }

    private func take(_ delivery: BusDelivery) -> Disposition {
        do {
            let answer = try JSONDecoder().decode(AgentAnswer.self, from: delivery.envelope.body)
            let source = CellTopology.reportSource(routingKey: delivery.routingKey)
            waiters.withLock { waiters in
                // Only the host that was asked may answer.
                guard let waiter = waiters[answer.queryID], waiter.hostKey == source?.hostKey else { return }
                waiter.answer.yield(answer.answer)
            }
            return .acknowledge
        } catch {
            parts.logger.warning("unreadable answer", metadata: ["error": "\(error)"])
            return .reject
        }
    }
}

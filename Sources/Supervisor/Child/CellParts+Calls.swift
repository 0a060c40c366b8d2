import CellProtocol
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle

extension CellParts {
    /// Never fails: what can't be done is answered with a ``CellFailure``. Nil when it was cut short because this
    /// supervisor ends: another does it, or this one when it is back.
    func answer(_ envelope: Envelope, _ respond: (Envelope) async throws -> Envelope) async -> Envelope? {
        do {
            let answer = try await respond(envelope)
            return Task.isCancelled ? nil : answer
        } catch {
            if Task.isCancelled { return nil }
            let failure =
                (error as? CellError).map { CellFailure($0) } ?? (error as? CellFailure)
                ?? CellFailure(message: "\(ErrorChain(error))", absence: Self.absence(error))
            logger.warning(
                "a call failed",
                metadata: [
                    "bus.kind": "\(envelope.kind)", "request.id": "\(envelope.requestID)", "error": "\(failure)",
                ])
            return self.failure(envelope, failure)
        }
    }

    /// A database that is away is a cell that does not answer: what was asked may be done or not.
    private static func absence(_ error: any Error) -> CellFailure.Absence? {
        (error as? any PassingError)?.isPassing == true ? .timedOut : nil
    }

    func failure(_ envelope: Envelope, _ message: String) -> Envelope {
        failure(envelope, CellFailure(message: message))
    }

    private func failure(_ envelope: Envelope, _ failure: CellFailure) -> Envelope {
        do {
            return try CellCall.failure(to: envelope, failure, messageID: ids.uuid(), sender: sender)
        } catch {
            // A text always encodes; the kind alone says enough.
            return Envelope(
                messageID: ids.uuid(), requestID: envelope.requestID, sender: sender, kind: CellFailure.kind,
                body: Data())
        }
    }

    /// Sends again what happened after some number.
    func events(_ envelope: Envelope) async throws -> Envelope {
        let request = try EventsRequest(body: envelope.body)
        let (events, newest) = try await store.events(after: request.after, limit: EventsRequest.batchLimit)
        return CellCall.reply(
            to: envelope, as: EventsRequest.self, body: EventsRequest.Reply.text(events, of: cell, newest: newest),
            messageID: ids.uuid(), sender: sender)
    }

    /// Reads a request and answers it with what `body` makes of it.
    func reply<R: CellRequest>(
        _ envelope: Envelope, to _: R.Type, _ body: (R) async throws -> R.Reply
    ) async throws -> Envelope {
        let request = try R(body: envelope.body)
        return try CellCall.reply(
            to: envelope, as: R.self, try await body(request), messageID: ids.uuid(), sender: sender)
    }
}

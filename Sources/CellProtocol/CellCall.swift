package import FoundationEssentials
package import MessageBus

/// How calls of the cell protocol are written into envelopes, for both ends: the request's kind is ``CellRequest/kind``,
/// the answer's the same with `.reply` behind it, and a call that could not be carried out answers ``CellFailure``.
package enum CellCall {
    /// The answer to `request` in an envelope of its own.
    package static func reply<R: CellRequest>(
        to request: Envelope, as _: R.Type, _ reply: R.Reply, messageID: UUID, sender: String
    ) throws -> Envelope {
        Envelope(
            messageID: messageID, requestID: request.requestID, sender: sender, kind: R.kind + ".reply",
            body: try R.encode(reply))
    }

    package static func failure(
        to request: Envelope, _ message: String, messageID: UUID, sender: String
    ) throws -> Envelope {
        Envelope(
            messageID: messageID, requestID: request.requestID, sender: sender, kind: CellFailure.kind,
            body: try JSONEncoder().encode(CellFailure(message: message)))
    }

    /// Reads what came back.
    /// - Throws: ``CellFailure`` when the cell says that it failed, `DecodingError` when the answer can't be read.
    package static func decode<R: CellRequest>(_ answer: Envelope, as _: R.Type) throws -> R.Reply {
        if answer.kind == CellFailure.kind { throw try JSONDecoder().decode(CellFailure.self, from: answer.body) }
        guard answer.kind == R.kind + ".reply" else { throw CellFailure(message: "unexpected answer \(answer.kind)") }
        return try R.decode(answer.body)
    }
}

/// The cell could not do what was asked, for a reason that is its own: the caller may try again later.
package struct CellFailure: Error, Codable, Sendable, Equatable, CustomStringConvertible {
    package static let kind = "cell.failure"
    /// For operators' logs; no secrets.
    package var message: String
    package init(message: String) { self.message = message }
    package var description: String { message }
}

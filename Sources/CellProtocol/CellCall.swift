package import CloudModel
package import FoundationEssentials
package import MessageBus

/// How calls of the cell protocol are written into envelopes, for both ends: the request's kind is ``CellRequest/kind``,
/// the answer's the same with `.reply` behind it, and a call that could not be carried out answers ``CellFailure``.
package enum CellCall {
    /// The answer to `request` in an envelope of its own.
    package static func reply<R: CellRequest>(
        to request: Envelope, as _: R.Type, _ reply: R.Reply, messageID: UUID, sender: String
    ) throws -> Envelope {
        Self.reply(to: request, as: R.self, body: try R.encode(reply), messageID: messageID, sender: sender)
    }

    /// The same with a reply that is written already.
    package static func reply<R: CellRequest>(
        to request: Envelope, as _: R.Type, body: Data, messageID: UUID, sender: String
    ) -> Envelope {
        Envelope(
            messageID: messageID, requestID: request.requestID, sender: sender, kind: R.kind + ".reply", body: body)
    }

    package static func failure(
        to request: Envelope, _ failure: CellFailure, messageID: UUID, sender: String
    ) throws -> Envelope {
        Envelope(
            messageID: messageID, requestID: request.requestID, sender: sender, kind: CellFailure.kind,
            body: try JSONEncoder().encode(failure))
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
    /// Why a cell below could not be asked, or that the cell's own database did not answer; absent for any other failure.
    package var absence: Absence?

    package init(message: String, absence: Absence? = nil) {
        self.message = message
        self.absence = absence
    }

    package var description: String { message }

    /// What became of a request that a branch passed on and got no answer to.
    package enum Absence: String, Codable, Sendable {
        /// Known to be down: nothing was carried out.
        case unreachable
        /// It may have been carried out.
        case timedOut
        case overloaded
        case unknownCell
    }

    /// As a branch answers when it could not reach a cell below.
    package init(_ error: CellError) {
        switch error {
        case .unknownCell(let cell): self.init(message: "there is no cell \(cell)", absence: .unknownCell)
        case .unreachable(let cell): self.init(message: "cell \(cell) is down", absence: .unreachable)
        case .timedOut(let cell): self.init(message: "cell \(cell) did not answer in time", absence: .timedOut)
        case .overloaded(let cell): self.init(message: "too many calls to cell \(cell)", absence: .overloaded)
        case .failed(let cell, let detail): self.init(message: "cell \(cell) failed: \(detail)")
        case .malformed(let cell, let detail): self.init(message: "cell \(cell) answered nonsense: \(detail)")
        case .cancelled: self.init(message: "cancelled", absence: .timedOut)
        }
    }
}

extension CellError {
    /// As who asked `cell` understands the failure that it got.
    package init(_ failure: CellFailure, of cell: CellPath) {
        switch failure.absence {
        case .unreachable: self = .unreachable(cell)
        case .timedOut: self = .timedOut(cell)
        case .overloaded: self = .overloaded(cell)
        case .unknownCell: self = .unknownCell(cell)
        case nil: self = .failed(cell, failure.message)
        }
    }
}

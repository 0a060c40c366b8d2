package import CellProtocol
import CloudModel
import SagaEngine

/// What became of an operator's word on a saga.
package enum SagaOrderOutcome: Sendable, Equatable {
    case done(SagaRecord)
    case conflict(String)
    case notFound
}

// What an operator decides about sagas that do not end by themselves.
extension CellPlan {
    package mutating func order(_ request: SagaOrderRequest) -> SagaOrderOutcome {
        switch request.order {
        case .retry: retry(request.id)
        case .abandon(let reason): abandon(request.id, reason: reason)
        }
    }

    /// Has a parked saga go on at the step where it stood.
    private mutating func retry(_ id: SagaID) -> SagaOrderOutcome {
        guard let saga = snapshot.sagas[id] else { return .notFound }
        guard saga.state == .parked else {
            return .conflict("it is \(saga.state.rawValue), and only a parked one can be")
        }
        if let server = server(of: saga)?.instance {
            let other = snapshot.liveSagas(of: server.id).first { $0.epoch == server.epoch }
            if let other { return .conflict("its server has another that goes on: \(other.name) \(other.id)") }
            guard server.state.vm == .error, server.state.task == nil else {
                return .conflict("its server has gone on without it and is \(server.state.status)")
            }
        }
        let outcome = take(id, by: .retry) ?? take(id, by: .resume) ?? .conflict("its log says that it has ended")
        if case .done = outcome, saga.isDeletion, server(of: saga) != nil { apply(.delete, to: saga.serverID) }
        return outcome
    }

    /// - Returns: nil when the saga's log does not let it.
    private mutating func take(_ id: SagaID, by event: SagaEvent) -> SagaOrderOutcome? {
        do throws(SagaPlanError) {
            _ = try advance(id, by: event, ownership: .released, isOrder: true)
            return done(id)
        } catch {
            return switch error {
            case .refused, .fenced: nil
            case .unknownDefinition: .conflict("this release does not know version \(version(of: id)) of it")
            case .corrupt(let corruption): .conflict("its log can't be read: \(corruption)")
            }
        }
    }

    /// Ends a saga that is neither done nor undone, and leaves what there is.
    private mutating func abandon(_ id: SagaID, reason: String?) -> SagaOrderOutcome {
        guard let saga = snapshot.sagas[id] else { return .notFound }
        guard saga.state.isOpen else { return .conflict("it has ended: it is \(saga.state.rawValue)") }
        do throws(SagaPlanError) {
            _ = try advance(id, by: .abandon(reason: reason), ownership: .released, isOrder: true)
        } catch {
            switch error {
            case .refused, .fenced: return .conflict("it has ended")
            case .unknownDefinition: return .conflict("this release does not know version \(saga.version) of it")
            // Nobody can ever go on with it.
            case .corrupt:
                let failure = Self.abandonment(of: saga, reason: reason)
                close(id, .init(state: .abandoned, at: now, message: failure.reason))
            }
        }
        return done(id)
    }

    private func done(_ id: SagaID) -> SagaOrderOutcome { snapshot.sagas[id].map { .done($0) } ?? .notFound }

    private func version(of id: SagaID) -> Int { snapshot.sagas[id]?.version ?? 0 }

    /// As the server's fault tells it.
    static func abandonment(of saga: SagaRecord, reason: String?) -> SagaFailure {
        let why = reason.map { " (\($0))" } ?? ""
        return SagaFailure(
            reason: "An operator gave this operation up.",
            details: "\(saga.name) \(saga.id) was given up\(why). \(saga.remains)", isPermanent: true)
    }
}

extension SagaRecord {
    /// Whether its end is the end of the server: a delete, or a boot that its user deleted meanwhile.
    var isDeletion: Bool {
        name == ServerSaga.delete.rawValue || log.contains { $0.entry == .cancelled }
    }

    /// Why an operator gave it up, if he said so.
    var abandonReason: String? {
        if case .abandoned(let reason) = log.last?.entry { reason } else { nil }
    }

    /// What may stay behind if it is given up, for operators.
    package var remains: String {
        switch ServerSaga(rawValue: name) {
        case .boot, .delete:
            "The guest \(serverID) may be left on host \(host), with its disk, taps and addresses; "
                + "they are removed when the host answers again and the cell knows that they are dead."
        case .start, .stop, .softReboot, .hardReboot:
            "Nothing is left over; the guest \(serverID) on host \(host) runs or does not, as its host will tell."
        case nil: "This release does not know what may be left on host \(host)."
        }
    }
}

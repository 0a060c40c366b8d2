package import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives
package import SagaEngine

/// Why a saga was not moved.
package enum SagaPlanError: Error, Sendable, Equatable {
    case refused(SagaRefusal)
    /// Another version of this program must go on with it.
    case unknownDefinition(name: String, version: Int)
    /// Its log can't be read; it is parked.
    case corrupt(SagaLogCorruption)
    /// Somebody else has taken it since.
    case fenced
}

extension CellPlan {
    /// The longest wait before a failed attempt is repeated.
    static let repeatDelayCap: Duration = .seconds(60)

    /// A conductor took the saga: begins it, or goes on where its log ends.
    package mutating func resume(_ id: SagaID) -> Result<Pursuit?, SagaPlanError> {
        move(id, by: .resume, ownership: .unchanged)
    }

    /// As ``advance(_:by:ownership:)``, with the error as a value.
    /// - Parameter epoch: under which `lease.owner` believes to hold the saga; nil when that is no condition.
    package mutating func move(
        _ id: SagaID, by event: SagaEvent, ownership: SagaChange.Ownership, onlyUnder epoch: Int? = nil
    ) -> Result<Pursuit?, SagaPlanError> {
        if let epoch, let saga = snapshot.sagas[id], saga.leaseEpoch != epoch { return .failure(.fenced) }
        do throws(SagaPlanError) {
            return .success(try advance(id, by: event, ownership: ownership))
        } catch {
            return .failure(error)
        }
    }

    /// The saga's step that a command, or its undo, belongs to.
    package static func stepName(of key: StepKey) -> String {
        key.step.hasSuffix(undoSuffix) ? String(key.step.dropLast(undoSuffix.count)) : key.step
    }

    /// Moves a saga by one event, with everything that this means for its server.
    /// - Parameters:
    ///   - ownership: whose the saga is afterwards, if it is still live.
    ///   - isOrder: an operator's event, which may be for a parked saga.
    /// - Returns: what it waits for now; nil when it has ended.
    package mutating func advance(
        _ id: SagaID, by event: SagaEvent, ownership: SagaChange.Ownership, isOrder: Bool = false
    ) throws(SagaPlanError) -> Pursuit? {
        guard var saga = snapshot.sagas[id], saga.state == .live || isOrder && saga.state == .parked else {
            throw .refused(.ended)
        }
        guard let (kind, definition) = ServerSaga.stored(name: saga.name, version: saga.version) else {
            throw .unknownDefinition(name: saga.name, version: saga.version)
        }
        var machine: SagaMachine
        do throws(SagaLogCorruption) {
            machine = try SagaMachine(definition, replaying: saga.log.lazy.map(\.entry))
        } catch {
            park(saga, SagaFailure(reason: "An internal error happened.", details: "\(error)", isPermanent: true))
            throw .corrupt(error)
        }
        let actions: [SagaAction]
        do throws(SagaRefusal) {
            actions = try machine.handle(event)
        } catch {
            throw .refused(error)
        }
        var change = sagaChanges[id] ?? SagaChange()
        if saga.state == .parked {
            saga.takeUp()
            change.isTakenUp = true
        }
        for action in actions {
            switch action {
            case .log(let entry):
                let logged = LoggedEntry(entry, at: now)
                saga.log.append(logged)
                change.appended.append(logged)
                if case .started = entry { began(kind, saga) }
            case .announce(let failure): announce(saga, failure)
            case .finish(let outcome): change.end = finish(kind, &saga, outcome, isAnnounced: machine.isAnnounced)
            case .run, .undo: break
            }
        }
        if saga.state == .live { change.own(&saga, ownership, at: now) }
        snapshot.sagas[id] = saga
        if change != SagaChange() { sagaChanges[id] = change }
        if let pursuit = pursuit(kind, saga, machine) { return pursuit }
        guard saga.state == .live, let pending = machine.pending else { return nil }
        let failure = SagaFailure(
            reason: "The request was overtaken by a newer one.", details: "no server of epoch \(saga.epoch)",
            isPermanent: true)
        return try advance(
            id, by: .failed(step: pending.attempt.step, generation: pending.attempt.generation, failure: failure),
            ownership: ownership)
    }

    // MARK: What a saga means for its server

    /// The saga's server, as long as the saga is of its current attempt.
    func server(of saga: SagaRecord) -> StoredServer? {
        guard let server = snapshot.servers[saga.serverID], server.instance.epoch == saga.epoch, !server.isDeleted
        else {
            return nil
        }
        return server
    }

    private mutating func began(_ kind: ServerSaga, _ saga: SagaRecord) {
        guard kind == .boot, server(of: saga) != nil else { return }
        apply(.spawnStarted, to: saga.serverID)
    }

    private mutating func announce(_ saga: SagaRecord, _ failure: SagaFailure) {
        guard server(of: saga) != nil else { return }
        buildFailed(saga, failure)
    }

    private mutating func buildFailed(_ saga: SagaRecord, _ failure: SagaFailure) {
        if apply(.buildFailed, to: saga.serverID) == nil { setFault(saga.serverID, failure) }
        silenced.insert(saga.serverID)
        events.append(
            .buildFailed(
                BuildFailure(id: saga.serverID, epoch: saga.epoch, host: saga.host, reason: failure.reason)))
    }

    mutating func setFault(_ id: ServerID, _ failure: SagaFailure) {
        change(id) { [now] in
            $0.fault = InstanceFault(message: failure.reason, details: failure.details, createdAt: now)
        }
    }

    private mutating func finish(
        _ kind: ServerSaga, _ saga: inout SagaRecord, _ outcome: SagaOutcome, isAnnounced: Bool
    ) -> SagaRecord.End {
        let end = end(kind, saga, outcome, isAnnounced: isAnnounced)
        saga.close(end)
        return end
    }

    private mutating func end(
        _ kind: ServerSaga, _ saga: SagaRecord, _ outcome: SagaOutcome, isAnnounced: Bool
    ) -> SagaRecord.End {
        let id = saga.serverID
        let isCurrent = server(of: saga) != nil
        switch outcome {
        case .succeeded:
            if isCurrent { succeeded(kind, id) }
            return .init(state: .succeeded, at: now, message: nil)
        case .failed(let failure):
            if isCurrent { failed(kind, saga, failure, isAnnounced: isAnnounced) }
            return .init(state: .failed, at: now, message: failure.reason)
        case .cancelled:
            // Only a delete cancels a boot, and then the undone boot is the delete.
            if isCurrent, kind == .boot { removeAll(of: id) }
            return .init(state: .cancelled, at: now, message: nil)
        case .parked(let failure):
            if isCurrent { giveUp(kind, saga, failure, isAnnounced: isAnnounced) }
            return .init(state: .parked, at: now, message: failure.reason)
        case .abandoned:
            let failure = Self.abandonment(of: saga, reason: saga.abandonReason)
            if isCurrent { abandon(kind, saga, failure, isAnnounced: isAnnounced) }
            return .init(state: .abandoned, at: now, message: failure.reason)
        }
    }

    /// Neither done nor undone: the server is in ERROR, and its parent hears it. What is announced is told already; who
    /// deleted a server that was being built wants no other.
    private mutating func giveUp(_ kind: ServerSaga, _ saga: SagaRecord, _ failure: SagaFailure, isAnnounced: Bool) {
        apply(.gaveUp, to: saga.serverID)
        setFault(saga.serverID, failure)
        if kind == .boot, !isAnnounced, !saga.isDeletion { buildFailed(saga, failure) }
    }

    /// What a parked saga's server has come to since is left alone.
    private mutating func abandon(_ kind: ServerSaga, _ saga: SagaRecord, _ failure: SagaFailure, isAnnounced: Bool) {
        let wasParked = snapshot.sagas[saga.id]?.state == .parked
        guard !wasParked || snapshot.servers[saga.serverID]?.instance.state.vm == .error else { return }
        giveUp(kind, saga, failure, isAnnounced: isAnnounced || wasParked)
    }

    mutating func park(_ saga: SagaRecord, _ failure: SagaFailure) {
        guard saga.state == .live else { return }
        if server(of: saga) != nil {
            apply(.gaveUp, to: saga.serverID)
            setFault(saga.serverID, failure)
        }
        close(saga.id, .init(state: .parked, at: now, message: failure.reason))
    }

    /// Ends a saga without a line in its log.
    mutating func close(_ id: SagaID, _ end: SagaRecord.End) {
        snapshot.sagas[id]?.close(end)
        sagaChanges[id, default: SagaChange()].end = end
    }

    private mutating func succeeded(_ kind: ServerSaga, _ id: ServerID) {
        switch kind {
        case .boot:
            if apply(.spawned, to: id) == nil { change(id) { [now] in $0.launchedAt = $0.launchedAt ?? now } }
        case .delete: removeAll(of: id)
        case .start: apply(.started, to: id)
        case .stop: apply(.stopped, to: id)
        case .softReboot, .hardReboot: apply(.rebooted, to: id)
        }
    }

    /// The server is gone from its host, and with it whatever earlier sagas left there.
    private mutating func removeAll(of id: ServerID) {
        let host = snapshot.servers[id]?.instance.host
        remove(id)
        for saga in snapshot.sagas.values where saga.serverID == id && saga.host == host && saga.state == .parked {
            close(saga.id, .init(state: .cancelled, at: now, message: nil))
        }
    }

    private mutating func failed(_ kind: ServerSaga, _ saga: SagaRecord, _ failure: SagaFailure, isAnnounced: Bool) {
        switch kind {
        case .boot: if !isAnnounced { buildFailed(saga, failure) }
        case .delete: break
        case .start, .stop, .softReboot: apply(.actionFailed, to: saga.serverID)
        case .hardReboot: if apply(.broke, to: saga.serverID) == nil { setFault(saga.serverID, failure) }
        }
    }

    // MARK: What a saga waits for

    private func pursuit(_ kind: ServerSaga, _ saga: SagaRecord, _ machine: SagaMachine) -> Pursuit? {
        guard let (attempt, isUndo) = machine.pending, let step = machine.definition.step(named: attempt.step),
            let work = work(kind, saga, isUndo: isUndo)
        else { return nil }
        let began = saga.log.last { logged in
            switch logged.entry {
            case .started(_, let generation), .undoStarted(_, let generation): generation == attempt.generation
            case .succeeded, .failed, .undoFinished, .undoFailed, .cancelled, .announced, .retried, .abandoned: false
            }
        }
        let start = (began?.at ?? now) + Self.repeatDelay(tries: attempt.tries)
        let key = StepKey(
            saga: saga.id, step: isUndo ? attempt.step + Self.undoSuffix : attempt.step, generation: attempt.generation)
        return Pursuit(
            saga: saga.id, leaseEpoch: saga.leaseEpoch, host: saga.host, input: saga.input,
            command: AgentCommand(
                key: key, instanceID: saga.serverID, epoch: saga.epoch, work: work, turn: saga.input.turn),
            isUndo: isUndo,
            notBefore: start, deadline: isUndo ? nil : step.timeout.map { start + $0.timeInterval },
            patienceEnds: patienceEnds(saga, step, machine, isUndo: isUndo))
    }

    static let undoSuffix = ".undo"

    private static func repeatDelay(tries: Int) -> Double {
        tries <= 1 ? 0 : min(repeatDelayCap, .seconds(1 << min(tries - 1, 16))).timeInterval
    }

    /// Counted from the first undo of the saga, however often it is repeated.
    private func patienceEnds(_ saga: SagaRecord, _ step: SagaStep, _ machine: SagaMachine, isUndo: Bool) -> Date? {
        guard isUndo, !machine.isAnnounced, case .undoing(_, .failed) = machine.phase,
            let patience = step.undo?.patience
        else { return nil }
        let first = saga.log.first { logged in
            if case .undoStarted = logged.entry { true } else { false }
        }
        return (first?.at ?? now) + patience.timeInterval
    }

    /// Nil when there is nothing to do it to: the server was built anew meanwhile, or its row is gone.
    private func work(_ kind: ServerSaga, _ saga: SagaRecord, isUndo: Bool) -> AgentWork? {
        if isUndo || kind == .delete { return .destroy }
        guard let server = server(of: saga) else { return nil }
        let specification = GuestSpecification(
            BuildSpecification(
                instance: server.instance, requestID: saga.input.requestID, publicKey: server.build.publicKey,
                image: server.build.image))
        switch kind {
        case .boot: return .spawn(specification)
        case .delete: return .destroy
        case .start: return .start(specification)
        case .stop: return .stop(graceSeconds: ServerSaga.graceSeconds)
        case .softReboot: return .reboot(specification, hard: false, graceSeconds: ServerSaga.graceSeconds)
        case .hardReboot: return .reboot(specification, hard: true, graceSeconds: ServerSaga.graceSeconds)
        }
    }
}

extension Duration {
    /// Seconds, for calendar arithmetic.
    package var timeInterval: Double {
        Double(components.seconds) + Double(components.attoseconds) / 1e18
    }
}

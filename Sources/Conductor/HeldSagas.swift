import CellProtocol
import CloudModel
import FoundationEssentials
import SagaEngine
import ServerLifecycle

/// The sagas that a conductor drives, and what is due when. Without clock and messages: it is told the time.
struct HeldSagas {
    struct Due {
        var commands: [Pursuit] = []
        var events: [(saga: SagaID, event: SagaEvent)] = []
    }

    private struct Held {
        var pursuit: Pursuit
        var nextSend: Date
        var sends = 0
        /// Nothing is sent to a host that is down; it would only fill its queue.
        var isHostUp = true
    }

    private let firstRepeat: TimeInterval
    private let repeatCap: TimeInterval
    private var held: [SagaID: Held] = [:]

    init(firstRepeat: Duration, repeatCap: Duration) {
        self.firstRepeat = firstRepeat.timeInterval
        self.repeatCap = repeatCap.timeInterval
    }

    var count: Int { held.count }
    var ids: [SagaID] { Array(held.keys) }

    /// Drives this saga from now on, or drives it on to what it waits for next.
    mutating func hold(_ pursuit: Pursuit) {
        held[pursuit.saga] = Held(pursuit: pursuit, nextSend: pursuit.notBefore)
    }

    mutating func drop(_ id: SagaID) { held[id] = nil }

    /// Takes the answer of a renewal: keeps these of `asked`, lets go of the rest, and notes which hosts are up.
    mutating func keep(_ kept: [SagaID: Bool], of asked: [SagaID], now: Date) {
        for id in asked {
            guard let isHostUp = kept[id] else {
                held[id] = nil
                continue
            }
            if isHostUp, held[id]?.isHostUp == false { wake(id, now: now) }
            held[id]?.isHostUp = isHostUp
        }
    }

    /// These hosts speak again: what waits for them is sent at once.
    mutating func wake(hosts: Set<HostName>, now: Date) {
        for (id, saga) in held where hosts.contains(saga.pursuit.host) { wake(id, now: now) }
    }

    private mutating func wake(_ id: SagaID, now: Date) {
        guard let pursuit = held[id]?.pursuit else { return }
        held[id]?.isHostUp = true
        held[id]?.sends = 0
        held[id]?.nextSend = max(now, pursuit.notBefore)
    }

    /// What must be sent or has run out. Commands count as sent now; an event is given until the saga moves.
    mutating func due(at now: Date) -> Due {
        var due = Due()
        for (id, saga) in held {
            let key = saga.pursuit.command.key
            if let deadline = saga.pursuit.deadline, deadline <= now {
                due.events.append((id, .timedOut(step: key.step, generation: key.generation)))
                continue
            }
            if let patienceEnds = saga.pursuit.patienceEnds, patienceEnds <= now {
                let step = CellPlan.stepName(of: key)
                due.events.append((id, .undoOverdue(step: step, generation: key.generation)))
            }
            guard saga.nextSend <= now, saga.isHostUp else { continue }
            let wait = min(firstRepeat * Double(1 << min(saga.sends, 10)), repeatCap)
            held[id]?.sends += 1
            held[id]?.nextSend = now + wait
            due.commands.append(saga.pursuit)
        }
        due.commands.sort { ($0.notBefore, $0.saga) < ($1.notBefore, $1.saga) }
        due.events.sort { $0.saga < $1.saga }
        return due
    }
}

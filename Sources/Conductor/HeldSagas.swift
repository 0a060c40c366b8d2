import CellProtocol
import CloudModel
import FoundationEssentials
import SagaEngine
import ServerLifecycle

/// The sagas that a conductor drives, and what is due when. Without clock and messages: it is told the time.
struct HeldSagas {
    struct Due {
        var commands: [Pursuit] = []
        var events: [Event] = []
    }

    struct Event {
        var saga: SagaID
        /// Under which it is held: when somebody else has taken it since, the event is none.
        var leaseEpoch: Int
        var event: SagaEvent
    }

    private struct Held {
        var pursuit: Pursuit
        var nextSend: Date
        var sends = 0
        /// Nothing is sent to a host that is down; it would only fill its queue.
        var isHostUp = true

        func event(_ event: SagaEvent) -> Event {
            Event(saga: pursuit.saga, leaseEpoch: pursuit.leaseEpoch, event: event)
        }
    }

    private let firstRepeat: TimeInterval
    private let repeatCap: TimeInterval
    private var held: [SagaID: Held] = [:]
    /// Nothing is done for sagas that somebody else may have taken meanwhile: leases were kept until then, by this clock.
    private(set) var validUntil = Date.distantPast

    init(firstRepeat: Duration, repeatCap: Duration) {
        self.firstRepeat = firstRepeat.timeInterval
        self.repeatCap = repeatCap.timeInterval
    }

    var count: Int { held.count }
    /// What is held, and under which lease.
    var leases: [SagaID: Int] { held.mapValues(\.pursuit.leaseEpoch) }

    /// Seconds since the attempt was to begin; nil when another conductor drove it.
    func age(of key: StepKey, now: Date) -> TimeInterval? {
        guard let pursuit = held[key.saga]?.pursuit, pursuit.command.key == key else { return nil }
        return now.timeIntervalSince(pursuit.notBefore)
    }

    /// Drives this saga from now on, or drives it on to what it waits for next.
    mutating func hold(_ pursuit: Pursuit) {
        held[pursuit.saga] = Held(pursuit: pursuit, nextSend: pursuit.notBefore)
    }

    mutating func drop(_ id: SagaID) { held[id] = nil }

    /// Takes the answer of a renewal: keeps these of `asked`, lets go of the rest, and notes which hosts are up.
    /// - Parameter validUntil: when the leases end by this clock, counted from before the renewal was asked for.
    mutating func keep(_ kept: [SagaID: Bool], of asked: [SagaID: Int], validUntil: Date, now: Date) {
        self.validUntil = validUntil
        for id in asked.keys {
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

    /// What was sent may be lost: all that waits for a host that is up is sent again at once.
    mutating func wakeAll(now: Date) {
        for (id, saga) in held where saga.isHostUp { wake(id, now: now) }
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
        guard now < validUntil else { return due }
        for (id, saga) in held {
            let key = saga.pursuit.command.key
            if let deadline = saga.pursuit.deadline, deadline <= now {
                due.events.append(saga.event(.timedOut(step: key.step, generation: key.generation)))
                continue
            }
            if let patienceEnds = saga.pursuit.patienceEnds, patienceEnds <= now {
                let step = CellPlan.stepName(of: key)
                due.events.append(saga.event(.undoOverdue(step: step, generation: key.generation)))
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

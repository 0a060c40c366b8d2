import CellProtocol
import CloudModel
import FoundationEssentials
import HypervisorDriver
import MessageBus
import Primitives
import SagaEngine
import ServerLifecycle

/// What goes wrong in one run, beside what the script says.
struct SagaFault: Sendable, CustomStringConvertible {
    enum Kind: String, CaseIterable { case none, crashed, repeated, forgotten }

    var crash: (write: Int, isAfter: Bool)?
    /// Every command comes so often, and every report.
    var times = 1
    /// The agent forgets what it did after each command.
    var isForgetful = false

    var kind: Kind { crash != nil ? .crashed : times > 1 ? (isForgetful ? .forgotten : .repeated) : .none }

    var description: String {
        switch kind {
        case .none: "nothing"
        case .crashed: "a crash \(crash?.isAfter == true ? "after" : "before") write \(crash?.write ?? 0)"
        case .repeated: "everything \(times) times"
        case .forgotten: "everything \(times) times and forgotten"
        }
    }
}

/// How a run ended: the same whatever went wrong on the way.
struct SagaEnding: Equatable {
    var sagas: [String: SagaState]
    var server: ServerState?
    /// What the parent heard, in order.
    var told: [String]
}

/// Runs one saga after another on one store and one host, as conductors do that die.
struct SagaTrial {
    private struct Died: Error {}

    struct Surprise: Error, CustomStringConvertible {
        let description: String
    }

    let store: any CellStore
    let host: SagaHost
    private var now = testEpoch
    private var fault = SagaFault()
    private var script: SagaScript?
    private var conductors = 0
    private var writes = 0
    /// Transactions of conductors in the last run.
    private(set) var writesOfRun = 0
    private var confirmed: Int64?

    init(store: any CellStore, host: SagaHost) {
        self.store = store
        self.host = host
    }

    private var lease: SagaLease { SagaLease(owner: "c\(conductors)", duration: .seconds(3600)) }

    /// - Returns: how it ended, and then nothing is left of it.
    mutating func run(_ script: SagaScript, _ fault: SagaFault) async throws -> SagaEnding {
        let id = try await prepare(script.saga)
        _ = try await news(of: id)
        self.script = script
        self.fault = fault
        writes = 0
        host.follow(script.answers)
        host.isForgetful = fault.isForgetful
        try await begin(script.saga, id)
        try await goOn()
        try await decide()
        if !fault.isForgetful, let often = host.done.first(where: { $0.value > 1 }) {
            // Only an agent that died before it remembered does it again.
            let isLost = script.answers.values.joined().contains {
                if case .isDoneInSilence = $0 { true } else { false }
            }
            guard isLost, often.value == 2 else {
                throw Surprise(description: "\(often.key) was done \(often.value) times")
            }
        }
        let ending = SagaEnding(
            sagas: try await store.sagas(SagaFilter(states: SagaState.allCases, server: id))
                .reduce(into: [:]) { $0[$1.name] = $1.state },
            server: try await store.snapshot(CellScope(servers: [id])).servers[id]?.instance.state,
            told: try await news(of: id))
        writesOfRun = writes
        self.fault = SagaFault()
        self.script = nil
        host.follow([:])
        host.isForgetful = false
        try await clear(id)
        return ending
    }

    // MARK: Around it

    private mutating func prepare(_ saga: ServerSaga) async throws -> ServerID {
        let instance = makeInstance()
        guard saga != .boot else { return instance.id }
        try await store.admit(instance, now: tick())
        try await goOn()
        if saga == .start {
            try await act(.stop, instance.id)
            try await goOn()
        }
        return instance.id
    }

    private mutating func begin(_ saga: ServerSaga, _ id: ServerID) async throws {
        switch saga {
        case .boot: try await store.admit(makeInstance(id), now: tick())
        case .delete: try await act(.delete, id)
        case .start: try await act(.start, id)
        case .stop: try await act(.stop, id)
        case .softReboot: try await act(.reboot(hard: false), id)
        case .hardReboot: try await act(.reboot(hard: true), id)
        }
    }

    private mutating func act(_ action: ServerAction, _ id: ServerID) async throws {
        let order = makeOrder(action, id)
        let outcome = try await store.plan(CellScope(servers: [id]), now: tick()) { $0.act(order) }
        guard case .accepted = outcome else { throw Surprise(description: "\(action) is refused: \(outcome)") }
    }

    /// The operator's word on what is parked.
    private mutating func decide() async throws {
        guard let parked = try await store.sagas(SagaFilter(states: [.parked])).first else { return }
        let abandons = script?.operatorAbandons ?? false
        let request = SagaOrderRequest(id: parked.id, order: abandons ? .abandon(reason: nil) : .retry)
        let outcome = try await store.plan(CellScope(sagas: [parked.id]), now: tick()) { $0.order(request) }
        guard case .done = outcome else { throw Surprise(description: "the operator is refused: \(outcome)") }
        try await goOn()
    }

    /// Deletes what is left, and looks whether anything is.
    private mutating func clear(_ id: ServerID) async throws {
        let state = try await store.snapshot(CellScope(servers: [id])).servers[id]?.instance.state
        if state?.vm != .deleted {
            try await act(.delete, id)
            try await goOn()
        }
        let guests = try await host.hypervisor.guests()
        guard guests.isEmpty else { throw Surprise(description: "guests are left: \(guests)") }
        let open = try await store.sagas(SagaFilter())
        guard open.isEmpty else {
            throw Surprise(description: "sagas are left: \(open.map { "\($0.name) \($0.state)" })")
        }
        let actions = try await store.actions(of: id, limit: 100).filter { $0.finishedAt == nil }
        guard actions.isEmpty else { throw Surprise(description: "unfinished: \(actions.map(\.action))") }
        let pruned = try await store.pruneServers(endedBefore: .distantFuture, limit: 100)
        let row = try await store.snapshot(CellScope(servers: [id])).servers[id]
        let sagas = try await store.sagas(SagaFilter(states: SagaState.allCases))
        guard pruned == 1, row == nil, sagas.isEmpty, try await store.actions(of: id, limit: 1).isEmpty else {
            throw Surprise(description: "rows are left: \(pruned) went, \(sagas.count) sagas stay")
        }
        _ = try await news(of: id)
    }

    private mutating func news(of id: ServerID) async throws -> [String] {
        let events = try await store.unpublishedEvents(confirmed: confirmed, limit: 10_000)
        confirmed = events.last?.sequence ?? confirmed
        return try events.compactMap { event in
            switch try event.decoded(of: testCell).event {
            case .instanceChanged(let summary): summary.id == id ? "changed to \(summary.status)" : nil
            case .buildFailed(let failure): failure.id == id ? "build failed" : nil
            case .instanceDeleted(let deletion): deletion.id == id ? "deleted" : nil
            case .hostChanged, .cellChanged, .cellRemoved: nil
            }
        }
    }

    private mutating func tick() -> Date {
        now += 1
        return now
    }

    // MARK: Conductors

    /// Until no saga is live; whoever dies has a successor.
    private mutating func goOn() async throws {
        var lives = 0
        while !(try await store.sagas(SagaFilter(states: [.live]))).isEmpty {
            lives += 1
            guard lives < 10 else { throw Surprise(description: "it does not end") }
            do {
                try await conduct()
            } catch is Died {
                fault.crash = nil
                try await store.release(owner: lease.owner)
                conductors += 1
            }
        }
    }

    private mutating func conduct() async throws {
        var pursuit = try await claim()
        while let current = pursuit {
            now = max(now, current.notBefore)
            if let part = script?.deletesDuring, part == Self.part(of: current) {
                script?.deletesDuring = nil
                // It is at it already, and its answer comes when nobody wants it any more.
                let late = try await host.take(current.command)
                try await act(.delete, current.command.instanceID)
                if let late { _ = try await report(late, of: current) }
                pursuit = try await claim()
                continue
            }
            var outcome: StepResult.Outcome?
            for _ in 0..<fault.times { outcome = try await host.take(current.command) }
            if let outcome {
                pursuit = try await report(outcome, of: current)
            } else {
                pursuit = try await wait(current)
            }
        }
    }

    private static func part(of pursuit: Pursuit) -> SagaHost.Part {
        SagaHost.Part(step: CellPlan.stepName(of: pursuit.command.key), isUndo: pursuit.isUndo)
    }

    private mutating func claim() async throws -> Pursuit? {
        let (lease, now) = (lease, tick())
        let store = store
        return try await write {
            try await store.claim(lease, limit: 1) { snapshot in
                var plan = CellPlan(snapshot, now: now)
                let pursuits = snapshot.sagas.keys.map { plan.resume($0) }
                return CellDecision(plan.changes(), pursuits.first)
            }
        }?.get()
    }

    private mutating func report(_ outcome: StepResult.Outcome, of pursuit: Pursuit) async throws -> Pursuit? {
        let result = StepResult(key: pursuit.command.key, instanceID: pursuit.command.instanceID, outcome: outcome)
        var next: Pursuit?
        for time in 0..<fault.times {
            let (lease, now) = (lease, tick())
            let store = store
            let taken = try await write {
                try await store.plan(CellScope(sagas: [pursuit.saga]), now: now) {
                    $0.take(result, from: CellTopology.hostKey("host-1"), lease: lease)
                }
            }
            switch taken {
            case .applied(let pursuit) where time == 0: next = pursuit
            case .stale: break
            case .orphan(let command, _): _ = try await host.take(command)
            case .applied, .foreign, .unreadable: throw Surprise(description: "report \(time) is \(taken)")
            }
        }
        return next
    }

    /// No answer comes: the command is sent again, or its time runs out.
    private mutating func wait(_ pursuit: Pursuit) async throws -> Pursuit? {
        if let outcome = try await host.take(pursuit.command) { return try await report(outcome, of: pursuit) }
        guard let deadline = pursuit.deadline else { throw Surprise(description: "it waits for ever") }
        now = max(now, deadline)
        let key = pursuit.command.key
        let event = SagaEvent.timedOut(step: CellPlan.stepName(of: key), generation: key.generation)
        let (lease, now) = (lease, tick())
        let store = store
        return try await write {
            try await store.plan(CellScope(sagas: [pursuit.saga]), now: now) {
                $0.move(pursuit.saga, by: event, ownership: .taken(lease), onlyUnder: pursuit.leaseEpoch)
            }
        }.get()
    }

    /// One transaction of a conductor, before or after which it may die.
    private mutating func write<Result>(_ body: () async throws -> Result) async throws -> Result {
        writes += 1
        if let crash = fault.crash, crash.write == writes, !crash.isAfter { throw Died() }
        let result = try await body()
        if let crash = fault.crash, crash.write == writes, crash.isAfter { throw Died() }
        return result
    }
}

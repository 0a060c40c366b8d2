import CellProtocol
import Metrics
import ServerLifecycle

/// What a conductor counts.
struct ConductorMetrics: Sendable {
    let commandsSent = Counter(label: "cellwright_conductor_commands", dimensions: [("outcome", "sent")])
    let commandsFailed = Counter(label: "cellwright_conductor_commands", dimensions: [("outcome", "failed")])
    let commandsDropped = Counter(label: "cellwright_conductor_commands", dimensions: [("outcome", "dropped")])
    let commandsFenced = Counter(label: "cellwright_conductor_commands", dimensions: [("outcome", "fenced")])
    /// Sagas whose owner was silent.
    let sagasTakenOver = Counter(label: "cellwright_conductor_sagas_taken_over")
    /// Sagas that ended elsewhere or that another conductor took.
    let sagasLost = Counter(label: "cellwright_conductor_sagas_lost")
    let sagasHeld = Gauge(label: "cellwright_conductor_sagas_held")
    let leftoversRemoved = Counter(label: "cellwright_reconciled", dimensions: [("what", "leftover-removed")])
    /// Told anew with every full look at a host.
    let strangersLeft = Counter(label: "cellwright_reconciled", dimensions: [("what", "stranger-left-alone")])
    let stepsTimedOut = Counter(label: "cellwright_conductor_steps_timed_out")
    private let applied = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "applied")])
    private let stale = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "stale")])
    private let foreign = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "foreign")])
    private let orphan = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "orphan")])
    private let unreadable = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "unreadable")])
    private let repeated = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "repeated")])
    private let tooLarge = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "too-large")])
    private let tooMany = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "too-many")])

    func count(_ outcome: ReportOutcome) {
        switch outcome {
        case .applied: applied.increment()
        case .stale: stale.increment()
        case .foreign: foreign.increment()
        case .orphan: orphan.increment()
        case .unreadable: unreadable.increment()
        }
    }

    /// What was not let through.
    func count(_ verdict: ReportGate.Verdict) {
        switch verdict {
        case .taken: break
        case .repeated: repeated.increment()
        case .tooLarge: tooLarge.increment()
        case .tooMany: tooMany.increment()
        }
    }

    /// How long a step took on its host, and how it ended. The machine took it, so its name is one of ours.
    func record(_ result: StepResult, after seconds: Double?) {
        let outcome =
            switch result.outcome {
            case .succeeded: "succeeded"
            case .failed: "failed"
            }
        let dimensions = [("step", result.key.step), ("outcome", outcome)]
        Counter(label: "cellwright_saga_steps", dimensions: dimensions).increment()
        guard let seconds else { return }
        Timer(label: "cellwright_saga_step", dimensions: dimensions).recordSeconds(seconds)
    }

    func count(_ mending: ServerMending) {
        Counter(label: "cellwright_reconciled", dimensions: [("what", mending.rawValue)]).increment()
    }

    func countForeign() { foreign.increment() }
    func countUnreadable() { unreadable.increment() }
}

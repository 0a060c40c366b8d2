import CellProtocol
import Metrics
import ServerLifecycle

/// What a conductor counts.
struct ConductorMetrics: Sendable {
    let commandsSent = Counter(label: "cellwright_conductor_commands", dimensions: [("outcome", "sent")])
    let commandsFailed = Counter(label: "cellwright_conductor_commands", dimensions: [("outcome", "failed")])
    let commandsDropped = Counter(label: "cellwright_conductor_commands", dimensions: [("outcome", "dropped")])
    let sagasHeld = Gauge(label: "cellwright_conductor_sagas_held")
    let stepsTimedOut = Counter(label: "cellwright_conductor_steps_timed_out")
    private let applied = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "applied")])
    private let stale = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "stale")])
    private let foreign = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "foreign")])
    private let orphan = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "orphan")])
    private let unreadable = Counter(label: "cellwright_conductor_reports", dimensions: [("outcome", "unreadable")])

    func count(_ outcome: ReportOutcome) {
        switch outcome {
        case .applied: applied.increment()
        case .stale: stale.increment()
        case .foreign: foreign.increment()
        case .orphan: orphan.increment()
        case .unreadable: unreadable.increment()
        }
    }

    func countForeign() { foreign.increment() }
    func countUnreadable() { unreadable.increment() }
}

import CloudModel
import Primitives
import Synchronization

/// What is wrong with the simulated world at a moment, and chance for whoever meets it.
package final class Weather: Sendable {
    /// What may become of a message while a virtual host is in a storm.
    enum Fate: Sendable { case plain, lost, late(Duration), twice, unconfirmed }

    private struct State: Sendable {
        var chance: SplitMix
        var storms: Set<String> = []
        /// Ways between a machine and a virtual host that are cut.
        var cuts: Set<String> = []
        var databases: Set<CellPath> = []
        var hypervisors: Set<HostName> = []
    }

    private let state: Mutex<State>
    /// Rings when a way is cut or whole again.
    let changes = Alarm()
    /// How often a log write is left out, in a run with the planted bug.
    let skipsLogWrites: Bool

    package init(seed: UInt64, skipsLogWrites: Bool = false) {
        state = Mutex(State(chance: SplitMix(seed: seed)))
        self.skipsLogWrites = skipsLogWrites
    }

    func chance(_ percent: Int) -> Bool { draw(0...99) < percent }

    func draw(_ range: ClosedRange<Int>) -> Int {
        state.withLock { Int.random(in: range, using: &$0.chance) }
    }

    func milliseconds(_ range: ClosedRange<Int>) -> Duration { .milliseconds(draw(range)) }

    // MARK: Messages

    func setStorm(_ isOn: Bool, over vhost: String) {
        state.withLock { state in
            if isOn { state.storms.insert(vhost) } else { state.storms.remove(vhost) }
        }
    }

    func fate(over vhost: String) -> Fate {
        guard state.withLock({ $0.storms.contains(vhost) }) else { return .plain }
        switch draw(0...99) {
        case 0..<12: return .lost
        case 12..<30: return .late(milliseconds(1...4000))
        case 30..<42: return .twice
        case 42..<52: return .unconfirmed
        default: return .plain
        }
    }

    func setCut(_ isCut: Bool, _ machine: String, _ vhost: String) {
        state.withLock { state in
            if isCut { state.cuts.insert("\(machine) \(vhost)") } else { state.cuts.remove("\(machine) \(vhost)") }
        }
        changes.ring()
    }

    func isCut(_ machine: String, _ vhost: String) -> Bool {
        state.withLock { $0.cuts.contains("\(machine) \(vhost)") }
    }

    // MARK: Databases and hypervisors

    func setDatabase(_ isUp: Bool, of cell: CellPath) {
        state.withLock { state in
            if isUp { state.databases.remove(cell) } else { state.databases.insert(cell) }
        }
    }

    func isDatabaseUp(of cell: CellPath) -> Bool { state.withLock { !$0.databases.contains(cell) } }

    func setHypervisor(_ isUp: Bool, on host: HostName) {
        state.withLock { state in
            if isUp { state.hypervisors.remove(host) } else { state.hypervisors.insert(host) }
        }
    }

    func isHypervisorUp(on host: HostName) -> Bool { state.withLock { !$0.hypervisors.contains(host) } }
}

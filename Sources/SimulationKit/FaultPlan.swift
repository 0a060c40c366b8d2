import CloudModel
import FoundationEssentials
import Primitives

/// What goes wrong in one run, drawn from its seed: each fault begins, lasts, and ends.
struct FaultPlan: Sendable {
    private static let begin = 3_000...25_000
    private static let counts = 1...6

    enum Kind: Sendable {
        case crash(TreeShape.Process)
        case freeze(TreeShape.Process)
        case cut(TreeShape.Process, CellPath)
        case broker(CellPath)
        case database(CellPath)
        /// Messages of a virtual host get lost, late and doubled.
        case storm(CellPath)
        case hypervisor(HostName)
    }

    struct Fault: Sendable, CustomStringConvertible {
        let at: Duration
        let lasting: Duration
        let kind: Kind

        var description: String {
            let when = "\(at / .seconds(1)) s"
            let span = "for \(lasting / .seconds(1)) s"
            return switch kind {
            case .crash(let process): "\(when): \(process) is killed"
            case .freeze(let process): "\(when): \(process) is frozen \(span)"
            case .cut(let process, let cell): "\(when): \(process) is cut off from the broker of \(cell) \(span)"
            case .broker(let cell): "\(when): the broker of \(cell) is away \(span)"
            case .database(let cell): "\(when): the database of \(cell) is away \(span)"
            case .storm(let cell): "\(when): messages of \(cell) are lost, late and doubled \(span)"
            case .hypervisor(let host): "\(when): the hypervisor of \(host) fails \(span)"
            }
        }
    }

    let faults: [Fault]

    init(_ shape: TreeShape, using chance: inout SplitMix) {
        func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &chance) }
        func pick<Element>(_ elements: [Element]) -> Element { elements[draw(0...elements.count - 1)] }
        var faults: [Fault] = []
        for _ in 0..<draw(Self.counts) {
            let process = pick(shape.processes)
            let below = shape.branches + shape.leaves
            let kind: Kind =
                switch draw(0...9) {
                case 0, 1, 2: .crash(process)
                case 3: .freeze(process)
                case 4, 5: .cut(process, pick(process.vhosts(in: shape)))
                case 6: .broker(pick(below))
                case 7: .database(pick(shape.cells))
                case 8: .storm(pick(below))
                default: .hypervisor(pick(shape.hosts).name)
                }
            // Most are short, some outlast every lease.
            let lasting = draw(0...2) == 0 ? draw(3_000...14_000) : draw(200...3_000)
            faults.append(
                Fault(at: .milliseconds(draw(Self.begin)), lasting: .milliseconds(lasting), kind: kind))
        }
        self.faults = faults.sorted { $0.at < $1.at }
    }

    /// Has them happen; returns when the last is over, or when cancelled.
    func run(in cloud: SimulatedCloud) async {
        await withDiscardingTaskGroup { group in
            for fault in faults { group.addTask { await run(fault, in: cloud) } }
        }
    }

    private func run(_ fault: Fault, in cloud: SimulatedCloud) async {
        do {
            try await cloud.clock.sleep(until: VirtualClock.Instant(offset: fault.at), tolerance: nil)
            cloud.log.add("FAULT \(fault)")
            await set(fault.kind, isOn: true, in: cloud)
            try await cloud.clock.sleep(for: fault.lasting)
        } catch {
            return
        }
        await set(fault.kind, isOn: false, in: cloud)
        cloud.log.add("OVER \(fault)")
    }

    private func set(_ kind: Kind, isOn: Bool, in cloud: SimulatedCloud) async {
        switch kind {
        case .crash(let process): if isOn { cloud.kill(process) }
        case .freeze(let process): isOn ? cloud.freeze(process) : cloud.thaw(process)
        case .cut(let process, let cell): await cloud.setCut(isOn, process, cell)
        case .broker(let cell): cloud.setBroker(!isOn, of: cell)
        case .database(let cell): cloud.weather.setDatabase(!isOn, of: cell)
        case .storm(let cell): cloud.weather.setStorm(isOn, over: cell.description)
        case .hypervisor(let host): cloud.weather.setHypervisor(!isOn, on: host)
        }
    }
}

import ArgumentParser
import CloudHarness
import CloudModel
import FoundationEssentials
import Topology

/// What a plan of a large cloud costs, against facts that are made up beforehand: a cloud just as it should be, one with
/// drift, one that grows by a cell.
struct PlanBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "plan", abstract: "Measure reading and planning a large topology; exit status 1 past a threshold.")

    @Option(help: "Cells below the root.")
    var cells = 1000

    @Option(help: "Hosts of each cell.")
    var hosts = 100

    @Option(help: "JSON with the greatest values allowed, by name.")
    var thresholds = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "plan-thresholds.json").path

    func validate() throws {
        guard (1...2000).contains(cells) else { throw ValidationError("--cells must be from 1 to 2000") }
        guard (1...200).contains(hosts) else { throw ValidationError("--hosts must be from 1 to 200") }
    }

    func run() async throws {
        let limits = try JSONDecoder().decode([String: Double].self, from: Data(contentsOf: URL(filePath: thresholds)))
        let figures = try measure()
        print(figures.table(limits))
        guard figures.exceeded(limits).isEmpty else { throw ExitCode.failure }
    }

    private func measure() throws -> Figures {
        var figures = Figures()
        let text = topologyText(cells: cells)
        let (topology, reading) = try timed { try TopologyDocument.read(text, file: "bench.yaml") }
        figures.add("read.s", reading)
        let inputs = inputs(topology)
        var facts = try simulatedFacts(topology, inputs)
        figures.add("facts.count", Double(facts.observations.count))
        figures.add("facts.rss.MiB", Self.status("VmRSS:"))

        figures.add("same.s", try plan(topology, inputs, facts) { $0.actions.isEmpty })
        for cell in stride(from: 1, through: cells, by: max(1, cells / 50)) {
            let host = HostName("c\(cell)-1")
            facts.observations[.init(.unit, host: host, name: "cellwright-compute.service")] = .absent
        }
        figures.add("drift.s", try plan(topology, inputs, facts) { !$0.actions.isEmpty && $0.radius.notices.isEmpty })
        let grown = try TopologyDocument.read(topologyText(cells: cells + 1), file: "bench.yaml")
        let grownInputs = self.inputs(grown)
        figures.add("grown.s", try plan(grown, grownInputs, facts) { $0.actions.count > 15 * hosts })
        facts.observations[.init(.database, host: "ctl-1", name: "cellwright_stray")] = .present([:])
        figures.add("stray.s", try plan(grown, grownInputs, facts) { $0.losses.count == 1 })
        figures.add("peak.MiB", Self.status("VmHWM:"))
        return figures
    }

    /// Seconds from topology and facts to the plan.
    private func plan(
        _ topology: Topology, _ inputs: DesiredState.Inputs, _ facts: ObservedFacts, _ isRight: (Plan) -> Bool
    ) throws -> Double {
        let (plan, seconds) = timed { Plan(desired: DesiredState(topology, inputs: inputs), observed: facts) }
        guard isRight(plan) else { throw HarnessFailure("the plan is wrong: \(plan.actions.count) actions") }
        return seconds
    }

    private func timed<Result>(_ body: () throws -> Result) rethrows -> (Result, Double) {
        let start = ContinuousClock.now
        let result = try body()
        return (result, (ContinuousClock.now - start) / .seconds(1))
    }

    // MARK: The cloud

    private static let binaries = ["api", "supervisor", "conductor", "compute"].map { "cellwright-\($0)" }

    /// Digests as long as real ones, one for every secret.
    private func inputs(_ topology: Topology) -> DesiredState.Inputs {
        let control = ProcessLayout(topology.keepingHosts { _ in false })
        let hosts = topology.cells.flatMap(\.hosts).map(\.name)
        let secrets =
            control.secrets + control.certificates.map(\.name) + [.authority]
            + hosts.flatMap { [.broker(user: "host.\($0)"), .certificate("compute", $0)] }
        return DesiredState.Inputs(
            binaries: Dictionary(uniqueKeysWithValues: Self.binaries.map { ($0, ContentDigest.of($0)) }),
            secrets: Dictionary(
                secrets.map { ($0, ContentDigest.of($0.text)) }, uniquingKeysWith: { first, _ in first }))
    }

    /// Control planes of ten cells share a machine.
    private func topologyText(cells: Int) -> String {
        let machines = max(1, self.cells / 10)
        var text =
            "apiVersion: cellwright/v1\nname: large\nhosts: [\"ctl-[1-\(machines)]\"]\nroot: {control: ctl-1}\ncells:\n"
        for cell in 1...cells {
            text +=
                "  - name: c\(cell)\n    control: ctl-\(cell % machines + 1)\n    hosts: [\"c\(cell)-[1-\(hosts)]\"]\n"
        }
        return text
    }

    /// A cloud as the topology wants it, found cell by cell so that its resources are never all in memory.
    private func simulatedFacts(_ topology: Topology, _ inputs: DesiredState.Inputs) throws -> ObservedFacts {
        var facts = ObservedFacts()
        let control = DesiredState(topology.keepingHosts { _ in false }, inputs: inputs).resources
        facts.observations.add(Self.found(control))
        let known = Set(control.map(\.id))
        for cell in topology.cells where cell.isLeaf {
            let part = DesiredState(topology.only(cell, hosts: cell.hosts), inputs: inputs)
            facts.observations.add(Self.found(part.resources.filter { !known.contains($0.id) }))
        }
        return facts
    }

    /// Each resource just as it is wanted, in memory of its own, as a probe would find it.
    private static func found(_ resources: [Resource]) -> [Resource.ID: ObservedFacts.Observation] {
        func copy(_ text: String) -> String { String(decoding: Array(text.utf8), as: UTF8.self) }
        let found = resources.map { resource in
            let id = Resource.ID(
                resource.id.kind, host: resource.id.host.map { HostName(copy($0.text)) }, cell: resource.id.cell,
                name: copy(resource.id.name))
            let attributes = resource.attributes.map { (copy($0.key), copy($0.value)) }
            return (id, ObservedFacts.Observation.present(Dictionary(uniqueKeysWithValues: attributes)))
        }
        return Dictionary(found, uniquingKeysWith: { first, _ in first })
    }

    /// A figure of `/proc/self/status` in MiB.
    private static func status(_ name: String) -> Double {
        let data = FileManager.default.contents(atPath: "/proc/self/status") ?? Data()
        let line = String(decoding: data, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(name) }
        let number = line?.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Double($0) }
        return (number ?? 0) / 1024
    }
}

extension Topology {
    /// The part of the topology that `cell`, with these hosts, has to do with: the cells above it and their machines.
    fileprivate func only(_ cell: Cell, hosts: [Host]) -> Topology {
        var needed = Set(api.hosts)
        func visit(_ other: Cell) -> Cell {
            needed.formUnion(other.controlHosts)
            if case .embedded(let server) = other.database { needed.insert(server.host) }
            if case .embedded(let server) = other.broker { needed.insert(server.host) }
            var kept = other
            guard other.path != cell.path else {
                kept.content = .hosts(hosts)
                return kept
            }
            let depth = other.path.components.count
            kept.content = .children(
                other.children.filter { child in
                    depth < cell.path.components.count && child.name == cell.path.components[depth]
                }.map(visit))
            return kept
        }
        var result = self
        result.root = visit(root)
        result.machines = machines.filter { needed.contains($0.name) }
        return result
    }
}

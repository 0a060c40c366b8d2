import ArgumentParser
import Deployer
import FoundationEssentials
import Glibc
import Primitives
import ServiceKit
import Simulation
import SystemPackage
import Topology

@main
struct SimulateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cellwright-simulate",
        abstract: "Find out what a cloud of many cells would cost and do: real control planes, simulated hosts.",
        discussion: """
            Starts the root of a development cloud (its own PostgreSQL and RabbitMQ, the API and the root's supervisor as \
            they are deployed), and serves every cell below it in this process: the real supervisors, conductors, stores \
            and messages, each cell with tables of its own, on hosts that do at once what they are asked. It measures \
            pages of servers, boots and the death of a cell through the API, prints a table, and writes report.json and \
            plots. Give several numbers of cells to see what grows with them.
            """,
        version: ProcessShell.version)

    static let cellLimit = 2000
    /// Of one leaf.
    static let hostLimit = 100_000

    enum Broker: String, ExpressibleByArgument, CaseIterable {
        case memory, real
    }

    enum Output: String, ExpressibleByArgument, CaseIterable {
        case text, json
    }

    @Argument(help: ArgumentHelp("The topology file.", valueName: "topology"))
    var topology: String

    @Option(help: "Servers that there are, over all cells.")
    var instances = 1000

    @Option(help: ArgumentHelp("Leaf cells, one number or several with commas; the topology's unless given."))
    var cells: String?

    @Option(
        help: ArgumentHelp(
            """
            Branch cells between the root and the leaves, one number or one for each of --cells; unless given none up to \
            \(LabTree.directLimit) leaves, else enough that no cell has more than \(LabTree.childLimit) children.
            """))
    var branches: String?

    @Option(help: "Hosts of each leaf cell; those of the topology's first unless given.")
    var hostsPerCell: Int?

    @Option(help: "Hosts of all leaf cells together, in place of --hosts-per-cell; each has the same number of them.")
    var hosts: Int?

    @Option(
        help: """
            What carries messages inside the cells and between branches and leaves: this process's memory, or RabbitMQ. \
            Between the root and its children it is always RabbitMQ.
            """)
    var broker = Broker.memory

    @Option(help: "Servers booted.")
    var boots = 200

    @Option(help: "Pages asked for, of each kind.")
    var pages = 400

    @Option(help: "Seconds that the root rests while its CPU is measured.")
    var rest = 10

    @Option(help: "For people or for programs.")
    var output = Output.text

    @Option(
        help: ArgumentHelp(
            "Folder for report.json and the plots; .cellwright/simulation beside the topology file unless given.",
            valueName: "path"))
    var folder: String?

    @Option(help: ArgumentHelp("First port tried.", visibility: .hidden))
    var firstPort = DevOptions.defaultFirstPort

    func validate() throws {
        guard (100...1_000_000).contains(instances) else {
            throw ValidationError("--instances must be from 100 to 1000000")
        }
        // What the topology would say is not read yet.
        _ = try counts(unlessGiven: 1)
        guard hosts == nil || hostsPerCell == nil else {
            throw ValidationError("--hosts and --hosts-per-cell exclude each other")
        }
        if let hostsPerCell, !(1...Self.hostLimit).contains(hostsPerCell) {
            throw ValidationError("--hosts-per-cell must be from 1 to \(Self.hostLimit)")
        }
        guard (1...10_000).contains(boots) else { throw ValidationError("--boots must be from 1 to 10000") }
        guard (10...10_000).contains(pages) else { throw ValidationError("--pages must be from 10 to 10000") }
        guard (1...600).contains(rest) else { throw ValidationError("--rest must be from 1 to 600") }
    }

    func run() async throws {
        signal(SIGPIPE, SIG_IGN)
        guard let data = FileManager.default.contents(atPath: topology),
            let text = String(validating: data, as: UTF8.self)
        else { throw ValidationError("there is no topology file \(topology)") }
        let cloud = try TopologyDocument.read(text, file: topology)
        let topologyFolder = URL(filePath: topology).standardizedFileURL.deletingLastPathComponent().path
        let place =
            folder.map { URL(filePath: $0).standardizedFileURL.path } ?? "\(topologyFolder)/.cellwright/simulation"
        var load = [0.0]
        getloadavg(&load, 1)
        var report = LabReport(
            processors: ProcessInfo.processInfo.activeProcessorCount, loadAverage: LabRun.rounded(load[0]))
        for (cells, branches) in try counts(unlessGiven: cloud.cells.count(where: \.isLeaf)) {
            let shape = LabShape(
                topology: cloud, tree: LabTree(cells: cells, branches: branches),
                hostsPerCell: hosts.map { $0 / cells } ?? hostsPerCell
                    ?? max(1, cloud.cells.first(where: \.isLeaf)?.hosts.count ?? 1),
                instances: instances, isBrokerReal: broker == .real, boots: boots, pages: pages, rest: .seconds(rest))
            report.runs.append(
                try await Laboratory(
                    shape: shape, folder: "\(place)/cloud", topologyFolder: topologyFolder, firstPort: firstPort
                ).run())
            // After each, so that a long series that breaks off leaves what it found.
            try write(report, to: place)
        }
        try show(report, place)
    }

    /// Leaves and branches of each laboratory.
    private func counts(unlessGiven leaves: Int) throws -> [(cells: Int, branches: Int?)] {
        let cells = try numbers(cells, "--cells") ?? [leaves]
        let given = try numbers(branches, "--branches")
        if let given, given.count != 1, given.count != cells.count {
            throw ValidationError("--branches is neither one number nor as many as --cells")
        }
        return try cells.enumerated().map { index, count in
            guard (1...Self.cellLimit).contains(count) else {
                throw ValidationError("--cells must be from 1 to \(Self.cellLimit)")
            }
            let branches = given.map { $0.count == 1 ? $0[0] : $0[index] }
            guard (0...count).contains(branches ?? 0) else {
                throw ValidationError("--branches must be from 0 to the number of cells")
            }
            if let hosts, !(1...Self.hostLimit).contains(hosts / count) || hosts % count > 0 {
                throw ValidationError("--hosts can't be shared evenly, from 1 to \(Self.hostLimit) for each of --cells")
            }
            return (count, branches)
        }
    }

    private func numbers(_ text: String?, _ option: String) throws -> [Int]? {
        try text?.split(separator: ",").map { word in
            guard let number = Int(word) else { throw ValidationError("\(option) is not a list of numbers") }
            return number
        }
    }

    private func write(_ report: LabReport, to folder: String) throws {
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try encoder.encode(report).write(to: URL(filePath: "\(folder)/report.json"), options: .atomic)
        for (name, plot) in report.plots {
            try Data(plot.utf8).write(to: URL(filePath: "\(folder)/\(name)"), options: .atomic)
        }
    }

    private func show(_ report: LabReport, _ folder: String) throws {
        if output == .json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
            print(String(decoding: try encoder.encode(report), as: UTF8.self))
            return
        }
        var table = TextTable(LabReport.columns.map { ($0, .right) })
        for row in report.rows { table.add(row) }
        for line in table.lines { print(line) }
        print("\nreport.json and plots are in \(folder)")
    }
}

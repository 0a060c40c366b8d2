import ArgumentParser
import CloudHarness
import FoundationEssentials

@main
struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cellwright-bench", abstract: "Measure against thresholds that are checked in.",
        subcommands: [CloudBench.self, ListBench.self, PlanBench.self], defaultSubcommand: CloudBench.self)
}

/// What a cloud costs: memory at rest, CPU of a boot, latency of reads, against thresholds that are checked in.
struct CloudBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cloud",
        abstract: "Measure a development cloud against thresholds; exit status 1 when it is past one.",
        discussion: "Build the executables in release mode first: swift build -c release")

    @Option(help: "The folder with the executables; this program's own unless given.")
    var bin: String?

    @Option(help: "The topology file.")
    var topology = "\(Self.tests)/Fixtures/dev-simulated.yaml"

    @Option(help: "JSON with the greatest values allowed, by name.")
    var thresholds = "\(Self.tests)/Benchmarks/thresholds.json"

    @Option(help: "Write the figures to this file as JSON.")
    var json: String?

    @Option(help: "Servers booted.")
    var boots = 100

    @Option(help: "Boots at once.")
    var concurrency = 4

    @Option(help: "Seconds that the cloud rests before its memory is measured.")
    var rest = 10

    /// The folder `Tests`.
    private static let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path

    func validate() throws {
        guard (1...1000).contains(boots) else { throw ValidationError("--boots must be from 1 to 1000") }
        guard (1...64).contains(concurrency) else { throw ValidationError("--concurrency must be from 1 to 64") }
        guard (1...600).contains(rest) else { throw ValidationError("--rest must be from 1 to 600") }
    }

    func run() async throws {
        let limits = try JSONDecoder().decode(
            [String: Double].self, from: Data(contentsOf: URL(filePath: thresholds)))
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folder = bin ?? URL(filePath: program).deletingLastPathComponent().path
        let plan = BenchPlan(boots: boots, concurrency: concurrency, rest: .seconds(rest))
        let figures = try await BenchCloud.run(binaries: folder, topology: topology) { ready in
            try await Bench(ready: ready, plan: plan).run()
        }
        print(figures.table(limits))
        if let json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try encoder.encode(figures.report(limits)).write(to: URL(filePath: json), options: .atomic)
        }
        let unknown = Set(limits.keys).subtracting(figures.values.keys).sorted()
        guard unknown.isEmpty else { throw HarnessFailure("nothing measures \(unknown.joined(separator: ", "))") }
        guard figures.exceeded(limits).isEmpty else { throw ExitCode.failure }
    }
}

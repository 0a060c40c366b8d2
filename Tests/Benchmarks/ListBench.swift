import ArgumentParser
import CloudHarness
import Deployer
import FoundationEssentials
import Primitives

/// What a page of a list costs: servers spread over three cells, pages of 100 with details, one caller that waits for
/// each answer.
struct ListBench: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "list", abstract: "Measure pages of servers with details; exit status 1 past a threshold.",
        discussion: "Build the executables in release mode first: swift build -c release")

    @Option(help: "The folder with the executables; this program's own unless given.")
    var bin: String?

    @Option(help: "The topology file.")
    var topology = "\(Self.tests)/Fixtures/dev-three-cells.yaml"

    @Option(help: "JSON with the greatest values allowed, by name.")
    var thresholds = "\(Self.tests)/Benchmarks/list-thresholds.json"

    @Option(help: "Servers that there are.")
    var servers = 500

    @Option(help: "Servers of a page.")
    var page = 100

    @Option(help: "Pages that are measured.")
    var requests = 500

    /// The folder `Tests`.
    private static let tests = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().path

    func validate() throws {
        guard (1...5000).contains(servers) else { throw ValidationError("--servers must be from 1 to 5000") }
        guard (1...1000).contains(page) else { throw ValidationError("--page must be from 1 to 1000") }
        guard (10...100_000).contains(requests) else { throw ValidationError("--requests must be from 10 to 100000") }
    }

    func run() async throws {
        let limits = try JSONDecoder().decode([String: Double].self, from: Data(contentsOf: URL(filePath: thresholds)))
        let program = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        let folder = bin ?? URL(filePath: program).deletingLastPathComponent().path
        let plan = BenchPlan(boots: servers, concurrency: 8, rest: .zero)
        let figures = try await BenchCloud.run(binaries: folder, topology: topology) { ready in
            try await Bench(ready: ready, plan: plan).pages(of: page, requests: requests)
        }
        print(figures.table(limits))
        let unknown = Set(limits.keys).subtracting(figures.values.keys).sorted()
        guard unknown.isEmpty else { throw HarnessFailure("nothing measures \(unknown.joined(separator: ", "))") }
        guard figures.exceeded(limits).isEmpty else { throw ExitCode.failure }
    }
}

extension Bench {
    /// The microversion that the lists are asked for in.
    private static let microversion = "2.90"
    /// Servers booted this long ago are at rest: their events are in the directory.
    private static let settling = Duration.seconds(3)

    /// Boots the plan's servers, then measures pages of `page` of them.
    func pages(of page: Int, requests: Int) async throws -> Figures {
        let caller = try await prepare()
        _ = try await boot(plan.boots, caller)
        try await Task.sleep(for: Self.settling)
        let compute = caller.session.compute(Self.microversion)
        let path = "/servers/detail?limit=\(page)"
        let shown = try await compute.get(path).list("servers")
        guard shown.count == min(page, plan.boots) else { throw HarnessFailure("the page has \(shown.count) servers") }
        let partial = try shown.count { try $0.text("status") != "ACTIVE" }
        guard partial == 0 else { throw HarnessFailure("\(partial) servers of the page are not ACTIVE") }
        var figures = Figures()
        figures.add("servers.count", Double(plan.boots))
        figures.add("cells.count", Double(ready.leaves.count))
        figures.add(
            try await reads("list", count: requests) {
                let answer = try await compute.send(.get, path)
                guard answer.status == 200 else { throw UnexpectedAnswer(request: "GET \(path)", answer: answer) }
            })
        return figures
    }
}

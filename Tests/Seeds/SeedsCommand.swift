import ArgumentParser
import Foundation
import SimulationKit

/// Runs simulated clouds, each from a seed, and says which did not come out well.
@main struct SeedsCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cellwright-seeds",
        abstract: "Runs simulated clouds with faults, each from a seed.",
        discussion: "Exit status 1 when an invariant does not hold or a run does not replay.")

    /// Hash tables are in the same order in every run only with this in the environment of the process.
    private static let hashing = "SWIFT_DETERMINISTIC_HASHING"

    @Option(help: "The first seed.") var first: UInt64 = 1
    @Option(help: "How many.") var count: UInt64 = 1
    @Option(help: "From one to the next.") var step: UInt64 = 1
    @Option(help: "Seconds after which no other seed is begun.") var limit: Double?
    @Flag(help: "Plant a bug: a log write is left out now and then.") var plant = false
    @Flag(help: "Run each twice, and compare.") var twice = false
    @Flag(help: "Print what the services said.") var trace = false
    @Flag(help: "Stop at the first that fails.") var stop = false

    func run() throws {
        try Self.makeHashingDeterministic()
        let began = ContinuousClock.now
        var totals = Totals()
        for number in 0..<count {
            if let limit, began.duration(to: .now) / .seconds(1) > limit { break }
            let seed = first + number * step
            let (report, lines) = try SeedRun(seed: seed, skipsLogWrites: plant, isTraced: trace).run()
            for line in lines { print(line) }
            totals.add(report)
            if twice || !report.problems.isEmpty { totals.check(report, try replay(seed)) }
            guard !report.problems.isEmpty else { continue }
            say(report)
            if stop { break }
        }
        let seconds = began.duration(to: .now) / .seconds(1)
        print(totals.line(seconds: seconds))
        if totals.failed > 0 || totals.unlike > 0 { throw ExitCode.failure }
    }

    private func replay(_ seed: UInt64) throws -> SeedRun.Report {
        try SeedRun(seed: seed, skipsLogWrites: plant).run().report
    }

    private func say(_ report: SeedRun.Report) {
        print("seed \(report.seed) of commit \(Self.commit) fails after \(report.seconds) s:")
        for problem in report.problems { print("    \(problem)") }
        for fault in report.faults { print("    \(fault)") }
        print("    again: cellwright-seeds --first \(report.seed) --trace\(plant ? " --plant" : "")")
    }

    /// The commit of the sources that this was built from, as far as their folder tells.
    private static var commit: String {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        func text(_ path: String) -> String? {
            try? String(contentsOf: root.appending(path: ".git/\(path)"), encoding: .utf8)
                .trimmingCharacters(in: .whitespacesAndNewlines)
        }
        guard let head = text("HEAD") else { return "unknown" }
        guard head.hasPrefix("ref: ") else { return head }
        return text(String(head.dropFirst(5))) ?? "unknown"
    }

    /// Begins the process anew with the variable, which is read before anything of ours runs.
    private static func makeHashingDeterministic() throws {
        guard ProcessInfo.processInfo.environment[hashing] == nil else { return }
        setenv(hashing, "1", 1)
        var arguments: [UnsafeMutablePointer<CChar>?] = CommandLine.arguments.map { strdup($0) }
        arguments.append(nil)
        execv("/proc/self/exe", arguments)
        throw ValidationError("can't begin anew: \(errno)")
    }
}

/// What came of all runs together.
struct Totals {
    private var reports = 0
    private(set) var failed = 0
    /// Replays that were not the same.
    private(set) var unlike = 0
    private var replayed = 0
    private var faults = 0
    private var servers = 0
    private var actions = 0
    private var deletes = 0
    private var jobs = 0
    private var longest = 0.0
    private var simulated = 0.0

    mutating func add(_ report: SeedRun.Report) {
        reports += 1
        failed += report.problems.isEmpty ? 0 : 1
        faults += report.faults.count
        servers += report.servers
        actions += report.actions
        deletes += report.deletes
        jobs += report.jobs
        longest = max(longest, report.seconds)
        simulated += report.seconds
    }

    mutating func check(_ first: SeedRun.Report, _ second: SeedRun.Report) {
        replayed += 1
        guard first != second else { return }
        unlike += 1
        print("seed \(first.seed) does not replay: \(first.jobs) jobs, then \(second.jobs)")
    }

    func line(seconds: Double) -> String {
        """
        \(reports) seeds in \((seconds * 10).rounded() / 10) s: \(failed) failed, \(replayed) replayed, \(unlike) of them \
        differently; \(faults) faults, \(servers) servers, \(deletes) deletes, \(actions) actions, \(jobs) jobs, \
        \(Int(simulated)) s simulated, the longest \(Int(longest)) s
        """
    }
}

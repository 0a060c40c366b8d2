import ArgumentParser
import Deployer
import FoundationEssentials
import Primitives
import Topology
import UnixSignals

/// A deployment as the common options name it: state is in `.cellwright` beside the topology file.
struct DeploymentSession {
    let settings: DeploymentSettings
    let deployment: Deployment
    let reporter: any ProgressReporter

    /// - Parameters:
    ///   - progress: where lines of progress go; standard error keeps standard output for one document.
    ///   - isLive: whether a terminal gets lines that change.
    init(
        _ common: CommonOptions, isLive: Bool = false, progress: @escaping @Sendable (String) -> Void
    ) throws {
        let loaded = try LoadedTopology(path: common.topology)
        let state = "\(loaded.folder)/\(DeploymentSettings.stateFolderName)"
        let addresses = try DeploymentSettings.labAddresses(stateFolder: state)
        settings = DeploymentSettings(
            topology: loaded.topology.withLabAddresses(existing: addresses), topologyFolder: loaded.folder,
            stateFolder: state, binariesFolder: try Executable.folder(),
            environment: ProcessInfo.processInfo.environment)
        if let width = Console.terminalWidth, isLive, !common.isJSON {
            reporter = LiveReporter(width: width) { Console.write($0) }
        } else {
            reporter = LineReporter(style: common.isJSON ? .json : .text, write: progress)
        }
        deployment = Deployment(
            settings, reporter: reporter, wallClock: SystemWallClock(), ids: SystemIDSource())
    }

    /// The lab of the topology.
    func lab() throws -> Lab {
        guard let specification = settings.lab else {
            throw UserError("the topology has no lab: its hosts are machines of their own")
        }
        return Lab(specification, path: settings.environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin")
    }

    /// Whether the topology's hosts are containers none of which has been made yet.
    func isLabUnmade() async throws -> Bool {
        guard settings.lab != nil else { return false }
        return try await lab().status().allSatisfy { $0.state == .absent }
    }
}

/// Runs `body` so that the first Ctrl-C or SIGTERM asks it to stop at the next safe point, and a second one cancels it.
func stoppable<Result: Sendable>(
    reporter: any ProgressReporter, _ body: @escaping @Sendable (StopRequest) async throws -> Result
) async throws -> Result {
    let stop = StopRequest()
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
    return try await withThrowingTaskGroup(of: Result?.self) { group in
        defer { group.cancelAll() }
        group.addTask { try await body(stop) }
        group.addTask {
            for await _ in signals {
                if stop.isRequested { throw UserError("stopped in the middle; run the same command again to go on") }
                stop.request()
                reporter.report(ProgressEvent(.note, "stopping after what has begun; once more stops at once"))
            }
            return nil
        }
        while let outcome = try await group.next() {
            if let outcome { return outcome }
        }
        throw CancellationError()
    }
}

/// Runs `body` until it ends or the first Ctrl-C, SIGTERM or SIGHUP, which cancels it: for what goes on for ever and changes
/// nothing.
func untilInterrupted(_ body: @escaping @Sendable () async throws -> Void) async throws {
    let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
    try await withThrowingTaskGroup(of: Bool.self) { group in
        group.addTask {
            try await body()
            return true
        }
        group.addTask {
            for await _ in signals { return false }
            return false
        }
        let isDone = try await group.next() ?? true
        group.cancelAll()
        guard !isDone else { return }
        do {
            while try await group.next() != nil {}
        } catch is CancellationError {
            // As asked for.
        }
    }
}

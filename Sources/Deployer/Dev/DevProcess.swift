import FoundationEssentials
import Glibc
import Primitives
import Subprocess
import Synchronization
import SystemPackage

/// One child of ``DevCloud``: runs until cancelled, starts again when it dies, with a bounded back-off.
final class DevProcess: Sendable {
    struct Specification: Sendable {
        var name: String
        var program: String
        var arguments: [String] = []
        /// Added to this process's environment, unless `isIsolated`.
        var environment: [String: String] = [:]
        var isIsolated = false
        /// Who it runs as; this process's user unless given.
        var owner: DevUser?
        /// Its output goes to the end of this file.
        var log: String
        var stopSignal = Signal.terminate
        /// What ends it at once when there is no time to ask.
        var emergencySignal = "KILL"
        /// While this file exists, it is not started again.
        var hold: String?
        /// How long it may take to end before it is killed. Three of these, one a stage, fit into ten seconds.
        var grace = Duration.milliseconds(2_500)
        /// Quick deaths in a row before giving up.
        var quickDeathLimit = 8
    }

    struct GaveUp: Error, CustomStringConvertible {
        let description: String
    }

    /// Lives shorter than this count as failures to start.
    static let quickDeath = Duration.seconds(10)
    private static let backoff = Backoff(base: .milliseconds(200), cap: .seconds(3))
    /// Last bytes of the log that an error quotes.
    private static let quotedBytes = 1_500

    let specification: Specification
    let processGuard: DevGuard
    private let reporter: any ProgressReporter
    private let leader = Mutex<pid_t?>(nil)

    init(_ specification: Specification, processGuard: DevGuard, reporter: any ProgressReporter) {
        self.specification = specification
        self.processGuard = processGuard
        self.reporter = reporter
    }

    /// The child's process id while it lives.
    var pid: pid_t? { leader.withLock { $0 } }

    /// Runs the child until this task is cancelled; then it is asked to end, and killed when it takes too long.
    /// - Throws: ``GaveUp`` when it does not stay alive, `CancellationError`.
    func run() async throws {
        let clock = ContinuousClock()
        var generator = SystemRandomNumberGenerator()
        var quickDeaths = 0
        while true {
            let start = clock.now
            let end = try await runOnce()
            try Task.checkCancellation()
            quickDeaths = clock.now - start < Self.quickDeath ? quickDeaths + 1 : 1
            guard quickDeaths < specification.quickDeathLimit else {
                throw GaveUp(
                    description: "\(specification.name) ended \(quickDeaths) times in a row (\(end)); its log "
                        + "\(specification.log) ends with:\n\(Self.tail(of: specification.log))")
            }
            let pause = Self.backoff.delay(attempt: quickDeaths - 1, using: &generator)
            reporter.report(
                ProgressEvent(.note, "\(specification.name) ended (\(end)); it is started again", detail: nil))
            try await clock.sleep(for: pause)
            while let hold = specification.hold, FileSystem.exists(hold) {
                try await clock.sleep(for: .milliseconds(100))
            }
        }
    }

    private func runOnce() async throws -> String {
        var options = PlatformOptions()
        options.createSession = true
        if let owner = specification.owner {
            options.userID = owner.user
            options.groupID = owner.group
            options.supplementaryGroups = []
        }
        options.teardownSequence = [
            .send(
                signal: specification.stopSignal, toProcessGroup: true,
                allowedDurationToNextStep: specification.grace)
        ]
        let log = try FileDescriptor.open(
            FilePath(specification.log), .writeOnly, options: [.create, .append, .closeOnExec],
            permissions: [.ownerReadWrite, .groupRead, .otherRead])
        defer { leader.withLock { $0 = nil } }
        // It waits for a line before it executes anything: by then the guard knows it.
        let result = try await Subprocess.run(
            .path("/bin/sh"),
            arguments: Arguments(
                ["-c", "read -r go || exit 1; exec \"$@\" </dev/null", specification.name, specification.program]
                    + specification.arguments),
            environment: environment,
            workingDirectory: "/",
            platformOptions: options,
            input: .inputWriter,
            output: .fileDescriptor(log, closeAfterSpawningProcess: true),
            error: .combinedWithOutput
        ) { execution in
            let pid = execution.processIdentifier.value
            self.leader.withLock { $0 = pid }
            try self.processGuard.add(leader: pid, signal: self.specification.emergencySignal)
            _ = try await execution.standardInputWriter.write("go\n")
            try await execution.standardInputWriter.finish()
        }
        if let pid { try processGuard.remove(leader: pid) }
        return switch result.terminationStatus {
        case .exited(let code): "status \(code)"
        case .signaled(let signal): "signal \(signal)"
        }
    }

    private var environment: Environment {
        var values: [Environment.Key: String] = [:]
        for (name, value) in specification.environment {
            if let key = Environment.Key(rawValue: name) { values[key] = value }
        }
        if specification.isIsolated { return .custom(values) }
        return .inherit.updating(values.mapValues { $0 })
    }

    static func tail(of path: String) -> String {
        guard let data = FileManager.default.contents(atPath: path) else { return "(no log)" }
        return String(decoding: data.suffix(quotedBytes), as: UTF8.self).trimmed
    }
}

/// A user of this machine, for servers that refuse to run as root.
struct DevUser: Sendable, Equatable {
    let user: uid_t
    let group: gid_t

    /// `nil` when there is no such user.
    init?(name: String) {
        guard let entry = getpwnam(name) else { return nil }
        user = entry.pointee.pw_uid
        group = entry.pointee.pw_gid
    }
}

/// Runs `processes` beside `body`. When `body` returns or throws, or a process gives up, all end before this returns.
func withDevProcesses<Result: Sendable>(
    _ processes: [DevProcess], body: @escaping @Sendable () async throws -> Result
) async throws -> Result {
    try await withThrowingTaskGroup(of: Result?.self) { group in
        defer { group.cancelAll() }
        for process in processes {
            group.addTask {
                try await process.run()
                return nil
            }
        }
        group.addTask { try await body() }
        while let outcome = try await group.next() {
            if let outcome { return outcome }
        }
        throw CancellationError()
    }
}

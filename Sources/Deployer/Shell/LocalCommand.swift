package import FoundationEssentials
import Glibc
import Primitives
import Subprocess
import SystemPackage

/// One program to run on this machine, to its end, with its output collected.
///
/// Arguments are visible to every user of the machine, so nothing secret may be among them: secrets go to `input`.
package struct LocalCommand: Sendable {
    /// Output beyond this many bytes fails the command.
    package static let outputLimitBytes = 16 * 1024 * 1024
    /// How long a command that ran out of time has between SIGTERM and SIGKILL.
    static let grace = Duration.seconds(2)

    package var program: String
    package var arguments: [String]
    /// What it reads from standard input; nothing when empty.
    package var input: Data
    /// Added to this process's environment.
    package var environment: [String: String]
    package var timeout: Duration

    package init(
        _ program: String, _ arguments: [String] = [], input: Data = Data(), environment: [String: String] = [:],
        timeout: Duration = .seconds(60)
    ) {
        self.program = program
        self.arguments = arguments
        self.input = input
        self.environment = environment
        self.timeout = timeout
    }

    /// The program with its arguments, as a person would type it.
    package var line: String { ([program] + arguments).map(ShellQuoting.quoted).joined(separator: " ") }

    /// Runs it to its end. A status other than 0 is a result, not an error.
    /// - Throws: ``CommandFailure`` when it cannot be started or runs out of time, `CancellationError`.
    package func run() async throws -> CommandResult {
        try await withDeadline(timeout) {
            try await launch(input: .data(input))
        } orElse: {
            CommandFailure(command: line, reason: .timedOut(timeout))
        }
    }

    /// The same with a file as standard input, for what is too big to hold in memory.
    package func run(inputFile: String) async throws -> CommandResult {
        try await withDeadline(timeout) {
            let file = try FileDescriptor.open(FilePath(inputFile), .readOnly)
            return try await launch(input: .fileDescriptor(file, closeAfterSpawningProcess: true))
        } orElse: {
            CommandFailure(command: line, reason: .timedOut(timeout))
        }
    }

    /// Runs it and takes any status but 0 for a failure.
    /// - Returns: its standard output.
    @discardableResult
    package func check() async throws -> String {
        let result = try await run()
        guard result.status == 0 else {
            throw CommandFailure(command: line, reason: .status(result.status, result.complaint))
        }
        return result.standardOutput
    }

    /// The program's file, found in PATH. Subprocess would start a process for every folder that may have it.
    func located() throws(CommandFailure) -> FilePath {
        guard !program.contains("/") else { return FilePath(program) }
        var path = environment["PATH"]
        if path == nil, let own = getenv("PATH") { path = String(cString: own) }
        for folder in (path ?? "/usr/bin:/bin").split(separator: ":") {
            let file = "\(folder)/\(program)"
            if access(file, X_OK) == 0 { return FilePath(file) }
        }
        throw CommandFailure(command: line, reason: .notRun("there is no program \(program) in PATH"))
    }

    /// In a process group of its own: a terminal's Ctrl-C is for the tool, which lets end what has begun.
    static var options: PlatformOptions {
        var options = PlatformOptions()
        options.processGroupID = 0
        options.teardownSequence = [.gracefulShutDown(allowedDurationToNextStep: grace)]
        return options
    }

    private func launch<Input: InputProtocol>(input: Input) async throws -> CommandResult {
        var changes: [Environment.Key: String?] = [:]
        for (name, value) in environment {
            if let key = Environment.Key(rawValue: name) { changes[key] = value }
        }
        do {
            let result = try await Subprocess.run(
                .path(try located()),
                arguments: Arguments(arguments),
                environment: Environment.inherit.updating(changes),
                platformOptions: Self.options,
                input: input,
                output: .bytes(limit: Self.outputLimitBytes),
                error: .bytes(limit: Self.outputLimitBytes))
            let status: Int32 =
                switch result.terminationStatus {
                case .exited(let code): code
                case .signaled(let signal): 128 + signal
                }
            return CommandResult(
                status: status, standardOutput: String(decoding: result.standardOutput, as: UTF8.self),
                standardError: String(decoding: result.standardError, as: UTF8.self))
        } catch let error as SubprocessError {
            try Task.checkCancellation()
            throw CommandFailure(command: line, reason: .notRun(String(describing: error)))
        }
    }
}

/// How a command ended.
package struct CommandResult: Sendable, Equatable {
    static let complaintLimit = 2_000

    /// Exit status; 128 and the signal's number when a signal ended it.
    package var status: Int32
    package var standardOutput: String
    package var standardError: String

    package init(status: Int32, standardOutput: String, standardError: String) {
        self.status = status
        self.standardOutput = standardOutput
        self.standardError = standardError
    }

    /// The last of what it said on standard error (or, when that is empty, on standard output), for error messages.
    package var complaint: String {
        let error = standardError.trimmed
        let text = error.isEmpty ? standardOutput.trimmed : error
        return String(text.suffix(Self.complaintLimit))
    }
}

package struct CommandFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Reason: Sendable, Equatable {
        case notRun(String)
        case timedOut(Duration)
        /// Exit status and what the command said.
        case status(Int32, String)
    }

    package let command: String
    package let reason: Reason

    package init(command: String, reason: Reason) {
        self.command = command
        self.reason = reason
    }

    package var description: String {
        let short = command.count > 160 ? command.prefix(160) + "…" : command[...]
        return switch reason {
        case .notRun(let why): "`\(short)` could not be run: \(why)"
        case .timedOut(let limit): "`\(short)` did not end within \(limit.components.seconds) s"
        case .status(let status, let complaint): "`\(short)` ended with status \(status): \(complaint)"
        }
    }
}

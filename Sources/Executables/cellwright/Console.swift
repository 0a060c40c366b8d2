import ArgumentParser
import Deployer
import FoundationEssentials
import Glibc
import Primitives
import SystemPackage
import Topology

/// Standard output and error, unbuffered: whoever reads them sees a line when it is written.
enum Console {
    static func out(_ line: String) { write(line + "\n", to: .standardOutput) }

    static func error(_ line: String) { write(line + "\n", to: .standardError) }

    /// Text as it is on standard output.
    static func write(_ text: String) { write(text, to: .standardOutput) }

    /// Columns of the terminal that standard output is; `nil` when it is none, or one that takes no control sequences.
    static var terminalWidth: Int? {
        guard isatty(STDOUT_FILENO) == 1, let kind = ProcessInfo.processInfo.environment["TERM"], kind != "dumb" else {
            return nil
        }
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 20 else { return 80 }
        return Int(size.ws_col)
    }

    /// One line of JSON on standard output.
    static func out(json value: some Encodable) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        out(String(decoding: try encoder.encode(value), as: UTF8.self))
    }

    /// The same where nothing can be thrown: what can't be written as JSON is told on standard error.
    static func outOrNothing(json value: some Encodable) {
        do { try out(json: value) } catch { Console.error("error: \(error)") }
    }

    /// Empties the screen of a terminal; other outputs get an empty line.
    static func clear() { write(terminalWidth == nil ? "\n" : "\u{1B}[H\u{1B}[2J") }

    private static func write(_ text: String, to file: FileDescriptor) {
        do {
            try file.writeAll(Array(text.utf8))
        } catch {
            // Whoever read it is gone; there is nobody to tell.
        }
    }
}

/// Exit statuses that scripts may rely on; 0 is that all was done, wrong usage is 64, by the argument parser.
extension ExitCode {
    static let failed = ExitCode(1)
    /// A plan that would change something.
    static let changes = ExitCode(2)
    /// Nothing was begun: another run holds the lock, or what was asked for is not allowed.
    static let refused = ExitCode(3)
    /// Some of it was done and the rest was not; the same command goes on.
    static let partial = ExitCode(4)
    static let invalidTopology = ExitCode(65)
}

/// Runs a command's body and turns errors into messages and exit statuses.
func reportingErrors(json: Bool, _ body: () async throws -> Void) async throws {
    do {
        try await body()
    } catch let code as ExitCode {
        throw code
    } catch let invalid as InvalidTopology {
        if json {
            try Console.out(json: ErrorDocument(invalid))
        } else {
            Console.error(invalid.description)
            let count = invalid.problems.count
            Console.error("\(invalid.file) has \(count) \(count == 1 ? "mistake" : "mistakes")")
        }
        throw ExitCode.invalidTopology
    } catch {
        let text = ErrorChain(error).description
        if json { try Console.out(json: ErrorDocument(text)) } else { Console.error("error: \(text)") }
        throw exitCode(of: error)
    }
}

private func exitCode(of error: any Error) -> ExitCode {
    switch error {
    case is ExclusiveLock.Held, is RemovalFailure, is DataLossRefusal, is PlanMoved: .refused
    case let failure as ApplyFailure: failure.isPartial ? .partial : .failed
    case let failure as CellsFailure: failure.exitCode
    case is RetirementFailure: .partial
    case is UpgradeStages.Refusal: .refused
    case let failure as UpgradeFailure: failure.exitCode
    default: .failed
    }
}

/// An error as programs get it, in one line on standard output.
struct ErrorDocument: Encodable {
    struct Problem: Encodable {
        var file: String
        var line: Int
        var column: Int
        var rule: String
        var message: String
        var suggestion: String?
    }

    var error: String
    var problems: [Problem]?

    init(_ error: String) { self.error = error }

    init(_ invalid: InvalidTopology) {
        error = "invalid topology"
        problems = invalid.problems.map {
            Problem(
                file: invalid.file, line: $0.line, column: $0.column, rule: $0.rule.rawValue, message: $0.message,
                suggestion: $0.suggestion)
        }
    }
}

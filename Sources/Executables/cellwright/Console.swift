import ArgumentParser
import Deployer
import FoundationEssentials
import Glibc
import Primitives
import SystemPackage
import Topology

/// Standard output and error, unbuffered: whoever reads them sees a line when it is written.
enum Console {
    static func out(_ line: String) { write(line, to: .standardOutput) }

    static func error(_ line: String) { write(line, to: .standardError) }

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
    static func clear() { out(isatty(1) == 1 ? "\u{1B}[H\u{1B}[2J" : "") }

    private static func write(_ line: String, to file: FileDescriptor) {
        do {
            try file.writeAll(Array((line + "\n").utf8))
        } catch {
            // Whoever read it is gone; there is nobody to tell.
        }
    }
}

/// Exit statuses that scripts may rely on. Wrong usage is 64, by the argument parser.
extension ExitCode {
    static let failed = ExitCode(1)
    static let changes = ExitCode(2)
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
        throw (error as? CellsFailure)?.exitCode ?? ExitCode.failed
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

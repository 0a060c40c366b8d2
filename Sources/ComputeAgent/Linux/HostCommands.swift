import Primitives
import Subprocess
import SystemPackage

/// Runs the host's own tools (`ip`, `nft`, `qemu-img`, ...). A port, so that unit tests can see what would be run.
package protocol HostCommands: Sendable {
    /// Runs a program and waits for its end.
    /// - Parameter input: written to its standard input; empty for none.
    /// - Throws: ``HostCommandFailure`` when it can't be started or does not end with status 0.
    @discardableResult
    func run(_ program: String, _ arguments: [String], input: String) async throws(HostCommandFailure) -> String
}

extension HostCommands {
    @discardableResult
    package func run(_ program: String, _ arguments: String...) async throws(HostCommandFailure) -> String {
        try await run(program, arguments, input: "")
    }
}

package struct HostCommandFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package var command: String
    package var status: String
    /// The first lines of what it said.
    package var said: String

    package var description: String { "`\(command)` ended with \(status): \(said)" }
}

/// The real thing, over swift-subprocess. At most ``limit`` programs at once.
package struct SystemCommands: HostCommands {
    package static let limit = 4
    /// Bytes of a program's output that are kept.
    package static let outputLimit = 1024 * 1024

    private let bulkhead = Bulkhead(name: "host commands", limit: Self.limit, waiting: 10_000)

    package init() {}

    package func run(
        _ program: String, _ arguments: [String], input: String
    ) async throws(HostCommandFailure) -> String {
        let command = ([program] + arguments).joined(separator: " ")
        do {
            return try await bulkhead.run {
                let result = try await Subprocess.run(
                    .name(program), arguments: Arguments(arguments), input: .string(input),
                    output: .string(limit: Self.outputLimit), error: .string(limit: Self.outputLimit))
                guard result.terminationStatus.isSuccess else {
                    throw HostCommandFailure(
                        command: command, status: "\(result.terminationStatus)",
                        said: String(result.standardError.prefix(500)))
                }
                return result.standardOutput
            }
        } catch let failure as HostCommandFailure {
            throw failure
        } catch {
            throw HostCommandFailure(command: command, status: "no start", said: "\(error)")
        }
    }
}

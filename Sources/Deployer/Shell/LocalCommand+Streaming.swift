import Subprocess
import SystemPackage

extension LocalCommand {
    /// How many of the last lines are kept for the error message.
    static let keptLines = 20

    /// Runs a long command and hands over each line that it writes, on standard output or standard error.
    /// - Throws: ``CommandFailure`` with the last lines when its status is not 0.
    package func follow(_ onLine: @escaping @Sendable (String) -> Void) async throws {
        let settings = Self.options
        let path = try located()
        let (status, last) = try await withDeadline(timeout) {
            let result = try await Subprocess.run(
                .path(path), arguments: Arguments(arguments), platformOptions: settings,
                input: .none, output: .sequence, error: .combinedWithOutput
            ) { execution in
                var last: [String] = []
                for try await line in execution.standardOutput.strings() {
                    let line = line.trimmed
                    if line.isEmpty { continue }
                    if last.count == Self.keptLines { last.removeFirst() }
                    last.append(line)
                    onLine(line)
                }
                return last
            }
            return (result.terminationStatus, result.closureResult)
        } orElse: {
            CommandFailure(command: line, reason: .timedOut(timeout))
        }
        switch status {
        case .exited(0): return
        case .exited(let code), .signaled(let code):
            throw CommandFailure(command: line, reason: .status(code, last.joined(separator: "\n")))
        }
    }
}

import FoundationEssentials
import Glibc
import SystemPackage
import Testing

@testable import Deployer

/// Runs scripts as a host would, on this machine, and notes what the programs in them were called with.
final class LocalShell: Sendable {
    private let folder: String
    private let program: String

    /// - Parameter program: `psql` or `curl`, of which every argument is noted.
    init(watching program: String) throws {
        self.program = program
        var template = Array("/tmp/cellwright-shell-XXXXXX".utf8CString)
        folder = String(cString: try #require(mkdtemp(&template)))
        try PrivateFile.write(
            """
            #!/bin/bash
            printf '%s\\n' "$*" >> \(folder)/arguments
            exec /usr/bin/\(program) "$@"

            """, to: "\(folder)/\(program)", mode: [.ownerReadWriteExecute])
    }

    deinit {
        // What is left of a test's folder harms nobody.
        try? FileManager.default.removeItem(atPath: folder)
    }

    /// The output of a script that must succeed.
    @discardableResult
    func run(_ script: String) async throws -> String {
        let result = try await attempt(script)
        try #require(result.status == 0, "\(result.standardError)")
        return result.standardOutput
    }

    func attempt(_ script: String) async throws -> CommandResult {
        var bash = LocalCommand(
            "bash", ["-s"], environment: ["PATH": "\(folder):/usr/bin:/bin", "TMPDIR": folder], timeout: .seconds(60))
        bash.input = Data(SSHConnection.wrapped(script).utf8)
        return try await bash.run()
    }

    /// All words that the program was called with.
    var arguments: String {
        get throws { try FileSystem.text("\(folder)/arguments") }
    }

    /// Files that scripts left, beside what the shell itself has here.
    var leftovers: [String] {
        get throws {
            try FileManager.default.contentsOfDirectory(atPath: folder).filter { $0 != "arguments" && $0 != program }
        }
    }
}

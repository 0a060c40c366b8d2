import CloudHarness
import Deployer
import FoundationEssentials
import Glibc
import Subprocess
import SystemPackage

/// A development cloud for one measurement, with the executables of any folder.
enum BenchCloud {
    private static let readyLimit = Duration.seconds(90)

    /// The cloud ends when its standard input does: with `body`, or with this process.
    static func run<Outcome: Sendable>(
        binaries: String, topology: String, _ body: (DevReady) async throws -> Outcome
    ) async throws -> Outcome {
        var template = Array("/tmp/cellwright-bench-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw HarnessFailure("a folder in /tmp can't be made") }
        let folder = String(cString: made)
        let log = "\(folder)/log"
        defer {
            unlink(log)
            rmdir(folder)
        }
        let file = try FileDescriptor.open(
            FilePath(log), .writeOnly, options: [.create, .closeOnExec], permissions: [.ownerReadWrite])
        let arguments = [
            "dev", topology, "--output", "json", "--while-stdin-open", "--folder", "\(folder)/cloud",
        ]
        let result = try await Subprocess.run(
            .path(FilePath("\(binaries)/cellwright")), arguments: Arguments(arguments), input: .inputWriter,
            output: .fileDescriptor(file, closeAfterSpawningProcess: true), error: .combinedWithOutput
        ) { execution -> Result<Outcome, any Error> in
            let outcome: Result<Outcome, any Error>
            do {
                outcome = .success(try await body(try await announcement(log, of: execution.processIdentifier.value)))
            } catch {
                outcome = .failure(error)
            }
            try await execution.standardInputWriter.finish()
            return outcome
        }
        return try result.closureResult.get()
    }

    private static func announcement(_ log: String, of process: Int32) async throws -> DevReady {
        let end = ContinuousClock.now + readyLimit
        while true {
            let text = FileManager.default.contents(atPath: log).map { String(decoding: $0, as: UTF8.self) } ?? ""
            let line = text.split(separator: "\n").last { $0.hasPrefix("{") }
            if let line, text.hasSuffix("\n"), !line.hasPrefix("{\"error\"") {
                return try JSONDecoder().decode(DevReady.self, from: Data(line.utf8))
            }
            guard line == nil, ContinuousClock.now < end, ProcessTable.isAlive(process) else {
                throw HarnessFailure("the cloud does not start:\n\(text)")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}

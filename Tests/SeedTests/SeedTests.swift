import Foundation
import TestSupport
import Testing

/// Some seeds in every run of the tests; `deploy/seeds` runs as many as one likes.
@Suite(.serialized, .timeLimit(.minutes(10))) struct SeedTests {
    private static let seeds = 40

    @Test func everythingThatWasAcceptedEndsWellWhateverGoesWrong() async throws {
        let output = try await Self.run("--count", "\(Self.seeds)")
        #expect(output.status == 0, "\(output.text)")
        print(output.text)
    }

    @Test func aSeedGivesTheSameRun() async throws {
        let output = try await Self.run("--count", "3", "--twice")
        #expect(output.status == 0 && output.text.contains("3 replayed, 0 of them differently"), "\(output.text)")
    }

    @Test func aLogWriteThatIsLeftOutIsFoundAndItsSeedFindsItAgain() async throws {
        let output = try await Self.run("--plant", "--count", "20", "--stop")
        #expect(output.status == 1, "\(output.text)")
        let line = try #require(output.text.split(separator: "\n").first { $0.hasPrefix("seed ") })
        let seed = try #require(line.split(separator: " ").dropFirst().first)
        #expect(output.text.contains("1 replayed, 0 of them differently"), "\(output.text)")
        let again = try await Self.run("--plant", "--first", "\(seed)")
        #expect(again.status == 1 && again.text.contains(line), "\(again.text)")
        // And without it the same seed is well.
        #expect(try await Self.run("--first", "\(seed)").status == 0)
    }

    private struct Output: Sendable {
        let status: Int32
        let text: String
    }

    /// The program is beside the tests. It is a process of its own because hash tables are in the same order in every run
    /// only of a process that was begun so.
    private static func run(_ arguments: String...) async throws -> Output {
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
        let program = URL(filePath: bundle).deletingLastPathComponent().appending(path: "cellwright-seeds")
        return try await BlockingWork.run {
            Result {
                let process = Process()
                process.executableURL = program
                process.arguments = arguments
                let pipe = Pipe()
                process.standardOutput = pipe
                process.standardError = pipe
                try process.run()
                let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
                process.waitUntilExit()
                return Output(status: process.terminationStatus, text: String(decoding: data, as: UTF8.self))
            }
        }.get()
    }
}

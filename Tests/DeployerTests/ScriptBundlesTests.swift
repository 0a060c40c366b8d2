import FoundationEssentials
import Synchronization
import Testing

@testable import Deployer

@Suite struct ScriptBundlesTests {
    private static func bash(_ script: String) async throws -> CommandResult {
        var bash = LocalCommand("bash", ["-s"])
        bash.input = Data(SSHConnection.wrapped(script).utf8)
        return try await bash.run()
    }

    @Test func eachScriptOfABundleEndsByItselfWithItsOwnAnswer() async throws {
        let scripts = [
            "echo one; echo aside >&2", "false; echo never", "trap 'echo cleaned' EXIT; exit 3",
            "x=1; echo 'ä b'; printf c",
            "echo ${x-unset}; read -r line || echo nothing to read", "cat <<'CELLWRIGHT'\nsecret\nCELLWRIGHT",
            "echo $unbound",
        ]
        let results = ScriptBundles.results(try await Self.bash(ScriptBundles.bundle(scripts)), count: scripts.count)
        #expect(results.map(\.status) == [0, 1, 3, 0, 0, 0, 1])
        #expect(
            results.map(\.standardOutput) == [
                "one\n", "", "cleaned\n", "ä b\nc", "unset\nnothing to read\n", "secret\n", "",
            ])
        #expect(results[0].standardError == "aside\n")
        #expect(results[6].standardError.contains("unbound"))
    }

    @Test func oneScriptTravelsAsItIs() async throws {
        #expect(ScriptBundles.bundle(["echo a"]) == "echo a")
        let answer = CommandResult(status: 4, standardOutput: "a", standardError: "b")
        #expect(ScriptBundles.results(answer, count: 1) == [answer])
    }

    @Test func whatNeverRanHasFailed() {
        let cut = CommandResult(status: 255, standardOutput: "part\t0\tYQ==\t\npart\t0", standardError: "lost")
        #expect(
            ScriptBundles.results(cut, count: 3) == [
                .init(status: 0, standardOutput: "a", standardError: ""),
                .init(status: 255, standardOutput: "", standardError: "lost"),
                .init(status: 255, standardOutput: "", standardError: "lost"),
            ])
    }

    private static func wait(until isSo: () -> Bool) async throws {
        let end = ContinuousClock.now + .seconds(60)
        while !isSo(), ContinuousClock.now < end { await Task.yield() }
        try #require(isSo())
    }

    private final class Record: Sendable {
        let calls = Atomic<Int>(0)
        let losses = Atomic<Int>(0)
        let answers = Mutex<[String]>([])
    }

    /// While the first script runs, five others come: they make one call more. A call that fails has failed for all of it.
    ///
    /// The five start when the first is under way: whoever comes before that goes with it.
    @Test(arguments: [false, true])
    func scriptsThatWaitGoTogether(fails: Bool) async {
        struct Lost: Error {}
        let bundles = ScriptBundles()
        let record = Record()
        let (underWay, firstIsUnderWay) = AsyncStream.makeStream(of: Void.self)
        @Sendable func send(_ number: Int) async {
            do {
                let result = try await bundles.run("echo \(number)") { script in
                    if record.calls.add(1, ordering: .relaxed).oldValue == 0 {
                        firstIsUnderWay.finish()
                        try await Self.wait { bundles.waiting == 5 }
                    } else if fails {
                        throw Lost()
                    }
                    return try await Self.bash(script)
                }
                record.answers.withLock { $0.append(result.standardOutput.trimmed) }
            } catch {
                _ = record.losses.add(1, ordering: .relaxed)
            }
        }
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await send(1) }
            for await _ in underWay {}
            for number in 2...6 { group.addTask { await send(number) } }
        }
        #expect(record.calls.load(ordering: .relaxed) == 2)
        #expect(record.losses.load(ordering: .relaxed) == (fails ? 5 : 0))
        let answers = record.answers.withLock { $0.sorted() }
        #expect(fails ? answers == ["1"] : answers == ["1", "2", "3", "4", "5", "6"])
    }
}

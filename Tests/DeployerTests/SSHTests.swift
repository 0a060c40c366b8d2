import FoundationEssentials
import Testing

@testable import Deployer

@Suite struct SSHTests {
    private let target = SSHTarget(
        name: "north-1", address: "10.77.0.12", port: 2222, user: "root", identityFile: "/state/my lab/key",
        knownHostsFile: "/state/my lab/known_hosts", jump: "gate")

    @Test func everyCallChecksTheHostKeyAndNeverAsks() {
        let arguments = target.arguments(controlPath: "/tmp/s/north-1")
        for option in [
            "BatchMode=yes", "StrictHostKeyChecking=yes", "HostKeyAlias=north-1", "ControlPath=/tmp/s/north-1",
            "Port=2222", "ProxyJump=gate", "UserKnownHostsFile=\"/state/my lab/known_hosts\"",
            "IdentityFile=\"/state/my lab/key\"",
        ] { #expect(arguments.contains(option)) }
        #expect(arguments.enumerated().allSatisfy { $0.offset % 2 == 1 || $0.element == "-o" })
    }

    @Test func theUsersOwnKnownHostsAreUsedWhenNoneAreGiven() {
        let plain = SSHTarget(name: "a", address: "192.0.2.1").arguments(controlPath: "/x")
        #expect(!plain.contains { $0.hasPrefix("UserKnownHostsFile") || $0.hasPrefix("HostKeyAlias") })
    }

    @Test func aScriptIsReadWholeBeforeItsFirstCommandRuns() async throws {
        // `cat` would eat the rest of the script if it were its standard input.
        let script = SSHConnection.wrapped("cat\nread -r x || true\ncat <<'EOF'\nsecret here\nEOF\necho end")
        var bash = LocalCommand("bash", ["-s"])
        bash.input = .init(script.utf8)
        let result = try await bash.run()
        #expect(result == CommandResult(status: 0, standardOutput: "secret here\nend\n", standardError: ""))
    }

    @Test func aScriptStopsAtTheFirstFailure() async throws {
        var bash = LocalCommand("bash", ["-s"])
        bash.input = .init(SSHConnection.wrapped("echo a\nfalse\necho b").utf8)
        let result = try await bash.run()
        #expect(result.status == 1)
        #expect(result.standardOutput == "a\n")
    }

    @Test(arguments: ["plain-1.2/x", "", "two words", "it's", "$(rm -rf x)", "a\nb", "\"q\" \\"])
    func quotedTextIsOneWordForAShell(text: String) async throws {
        let output = try await LocalCommand("sh", ["-c", "printf %s \(ShellQuoting.quoted(text))"]).check()
        #expect(output == text)
    }

    @Test func aReceivedFileWithTheWrongDigestIsRefusedAndLeavesNothing() async throws {
        let folder = try TemporaryFolder()
        let receiver = SSHConnection.receiver(
            digest: String(repeating: "0", count: 64), destination: "\(folder.path)/sub/file", mode: "0644",
            owner: "root")
        let result = try await LocalCommand(
            "bash", ["-c", "set -o pipefail; echo x | gzip -c | bash -c \(ShellQuoting.quoted(receiver))"]
        ).run()
        #expect(result.status != 0)
        #expect(try await LocalCommand("find", [folder.path, "-type", "f"]).check() == "")
    }

    @Test func commandsThatRunTooLongAreEndedAndSaidSo() async {
        await #expect(throws: CommandFailure(command: "sleep 30", reason: .timedOut(.milliseconds(100)))) {
            try await LocalCommand("sleep", ["30"], timeout: .milliseconds(100)).run()
        }
    }
}

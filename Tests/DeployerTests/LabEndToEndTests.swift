import CloudModel
import FoundationEssentials
import Glibc
import Synchronization
import Testing

@testable import Deployer

/// Real containers: needs root and Debian packages, takes a minute. Enabled by CELLWRIGHT_E2E=1.
@Suite(.enabled(if: endToEndIsWanted, "set CELLWRIGHT_E2E=1 to make real hosts"), .serialized)
struct LabEndToEndTests {
    @Test func hostsComeUpStayUpComeBackAndGoWithoutATrace() async throws {
        let folder = "/var/tmp/cellwright-lab-test"
        let specification = LabSpecification(
            folder: folder, network: "10.78.0.0/24", prefixLength: 24, gateway: "10.78.0.1",
            hosts: [.init(name: "one", address: "10.78.0.11"), .init(name: "two", address: "10.78.0.12")])
        let lab = Lab(specification, path: ProcessInfo.processInfo.environment["PATH"] ?? "")
        let log = RecordingReporter()
        let before = try await mountsAndLinks()
        var left: String?
        do {
            #expect(try await lab.up(reporter: log, now: Date()).sorted() == ["one", "two"])
            #expect(try await lab.status().map(\.state) == [.running, .running])
            let first = SSHConnection(target: lab.target(specification.hosts[0]), controlFolder: folder)
            try await first.open()
            try await first.check("write", "echo kept > /var/lib/kept; test -c /dev/net/tun; ping -c1 -W2 10.78.0.12")
            // Scripts stop at the first failure and take nothing from their own text as input.
            #expect(try await first.run("cat; false; echo not reached", timeout: .seconds(5)).standardOutput == "")
            await first.close()
            let again = try await lab.up(reporter: log, now: Date())
            #expect(again == [], "what runs is left alone")

            let container = LabContainer(specification: specification, name: "one")
            kill(try #require(container.leader()), SIGKILL)
            #expect(try await poll(every: .milliseconds(50), for: .seconds(10)) { container.process() == nil })
            #expect(try await lab.up(reporter: log, now: Date()) == ["one"])
            try await first.open()
            #expect(try await first.check("read", "cat /var/lib/kept") == "kept\n")
            await first.close()
            // Left open, as by a run of the tool.
            let two: HostName = "two"
            let pool = try await HostPool.open([two: lab.target(specification.hosts[1])])
            let connection = try #require(pool.connections[two] as? SSHConnection)
            #expect(FileSystem.exists(connection.controlPath))
            left = connection.controlPath
        } catch {
            Issue.record(error)
        }
        try await lab.down(reporter: log, now: Date())
        #expect(!FileSystem.exists(try #require(left)))
        #expect(!FileSystem.exists(folder))
        #expect(try await mountsAndLinks() == before)
    }

    private func mountsAndLinks() async throws -> String {
        let links = try await LocalCommand("ip", ["-br", "link"]).check().lines.filter { $0.contains("cwlab") }
        let mounts = try FileSystem.text("/proc/mounts").lines.filter { $0.contains("cellwright") }
        return (links + mounts).joined(separator: "\n")
    }
}

let endToEndIsWanted = ProcessInfo.processInfo.environment["CELLWRIGHT_E2E"] == "1"

/// Keeps what was reported.
final class RecordingReporter: ProgressReporter {
    private let kept = Mutex<[ProgressEvent]>([])

    var events: [ProgressEvent] { kept.withLock { $0 } }

    func report(_ event: ProgressEvent) {
        kept.withLock { $0.append(event) }
    }
}

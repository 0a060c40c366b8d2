import CloudModel
import Foundation
import Synchronization
import Testing
import Topology

@testable import Deployer

@Suite("Development cloud: layout")
struct DevLayoutTests {
    private let sample = """
        apiVersion: cellwright/v1
        name: c
        lab: {}
        hosts: [control-1, db-1]
        root: {control: control-1, database: {host: db-1}}
        cells:
          - name: eu
            broker: {existing: {url: "amqp://a@mq", managementURL: "http://mq:15672", passwordEnv: X}}
            cells:
              - {name: eu-1, hosts: [{name: "r[1-2]", capacity: {vcpus: 64}}]}
          - {name: us, control: [control-1, db-1], hosts: []}
        """

    private func layout(hostsPerCell: Int? = nil, replicas: Int = 1) throws -> DevLayout {
        var options = DevOptions(
            topology: try TopologyDocument.read(sample, file: "t"), folder: "/dev/cloud", binaries: "/bin",
            topologyFolder: "/", hostsPerCell: hostsPerCell, firstPort: 15_660, environment: [:])
        options.replicas = replicas
        return try DevLayout(options: options, databaseFolder: "/dev/database")
    }

    @Test("replicas have a name, an identity, a port and a settings file of their own")
    func replicas() throws {
        let layout = try layout(replicas: 2)
        let names = layout.services.map(\.name)
        #expect(Set(names).count == names.count)
        #expect(
            Set(names).isSuperset(of: [
                "api", "api@2", "supervisor-root", "supervisor-root@2", "supervisor-eu@2", "conductor-us",
                "conductor-us@2", "compute-r1",
            ]))
        let ports = layout.services.map(\.health.port)
        #expect(Set(ports).count == ports.count)
        var identities: [String] = []
        for service in layout.services {
            switch service.configuration {
            case .supervisor(let value): identities.append("\(value.cell.path) supervisor \(value.identity)")
            case .conductor(let value): identities.append("\(value.cell.path) conductor \(value.identity)")
            case .api(let value): #expect(value.publicURL == nil)
            case .compute: break
            }
        }
        #expect(Set(identities).count == identities.count && identities.count == 12)
    }

    @Test("everything is on this machine, and every host is simulated, whatever the topology says")
    func onThisMachine() throws {
        let layout = try layout()
        #expect(layout.topology.lab == nil)
        #expect(layout.topology.hosts.allSatisfy { $0.address == "127.0.0.1" })
        #expect(layout.topology.cells.flatMap(\.hosts).allSatisfy { $0.hypervisor.driver == .simulated })
        #expect(layout.topology.host("r1")?.capacity.vcpus == 64)
        #expect(
            layout.services.map(\.name) == [
                "supervisor-root", "supervisor-eu", "supervisor-eu.eu-1", "supervisor-us", "api",
                "conductor-eu.eu-1", "conductor-us", "compute-r1", "compute-r2",
            ])
    }

    @Test("hosts per cell take the place of the topology's and keep their settings")
    func hostsPerCell() throws {
        let topology = try layout(hostsPerCell: 3).topology
        #expect(
            topology.cells.flatMap(\.hosts).map(\.name.text) == [
                "eu.eu-1-1", "eu.eu-1-2", "eu.eu-1-3", "us-1", "us-2", "us-3",
            ])
        #expect(topology.host("eu.eu-1-3")?.capacity.vcpus == 64)
    }

    @Test("no path of a deployed host is left in a configuration, and no two services share a port or folder")
    func configurations() throws {
        let layout = try layout()
        for service in layout.services {
            let text = service.configuration.json
            #expect(!text.contains("/etc/cellwright") && !text.contains("/var/lib"), "\(service.name)")
            #expect(text.contains("\"/dev/cloud/"))
        }
        #expect(Set(layout.services.map(\.health)).count == layout.services.count)
        #expect(Set(layout.services.map(\.configurationPath)).count == layout.services.count)
        #expect(layout.folders.contains("/dev/cloud/compute/r2"))
    }

    @Test("a port that is taken is passed over, and none is given twice")
    func ports() throws {
        // Far from those that other layouts look at meanwhile.
        let first = DevPorts(first: 15_900)
        var one = first
        let taken = try one.take()
        let next = try one.take()
        #expect(taken < next && DevPorts.isFree(taken) && !DevPorts.answers(taken))
        var late = DevPorts(first: DevPorts.end)
        #expect(throws: DevPorts.Exhausted.self) { try late.take() }
    }
}

@Suite("Development cloud: child processes")
struct DevProcessTests {
    private final class Lines: ProgressReporter {
        private let lines = Mutex<[String]>([])
        func report(_ event: ProgressEvent) { lines.withLock { $0.append(event.title) } }
        var all: [String] { lines.withLock { $0 } }
    }

    /// A shell as child that writes its process id to `pid` and its child's to `sub`.
    private func withChild<Result: Sendable>(
        _ script: String, quickDeathLimit: Int = 5,
        _ body: @escaping @Sendable (DevProcess, String, Lines) async throws -> Result
    ) async throws -> Result {
        let folder = try TemporaryFolder()
        let lock = open("\(folder.path)/lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        defer { close(lock) }
        let processGuard = try DevGuard(folders: [], lock: lock)
        defer { processGuard.finish() }
        let lines = Lines()
        var specification = DevProcess.Specification(
            name: "child", program: "/bin/sh", arguments: ["-c", script], environment: ["FOLDER": folder.path],
            log: "\(folder.path)/log", grace: .seconds(2))
        specification.quickDeathLimit = quickDeathLimit
        let process = DevProcess(specification, processGuard: processGuard, reporter: lines)
        return try await withDevProcesses([process]) { try await body(process, folder.path, lines) }
    }

    private static func number(_ path: String) throws -> pid_t? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        return pid_t(String(decoding: data, as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines))
    }

    @Test("a child that dies is started again, and what had its number is left alone")
    func restart() async throws {
        try await withChild("echo $$ > $FOLDER/pid; exec sleep 60") { process, folder, lines in
            #expect(
                try await poll(every: .milliseconds(10), for: .seconds(90)) { try Self.number("\(folder)/pid") != nil })
            let first = try #require(process.pid)
            kill(first, SIGKILL)
            #expect(
                try await poll(every: .milliseconds(10), for: .seconds(90)) {
                    guard let pid = process.pid else { return false }
                    return try pid != first && Self.number("\(folder)/pid") == pid
                })
            #expect(lines.all == ["child ended (signal 9); it is started again"])
            #expect(process.processGuard.leaders == [try #require(process.pid)], "the number of the dead is nobody's")
        }
    }

    @Test("when it is over, a child ends with everything it started, even what ignores the signal")
    func group() async throws {
        let script =
            "(trap '' TERM; echo started > $FOLDER/ready; while :; do sleep 1; done) & echo $! > $FOLDER/sub; wait"
        let pids: [pid_t] = try await withChild(script) { process, folder, _ in
            #expect(
                try await poll(every: .milliseconds(10), for: .seconds(90)) {
                    try FileManager.default.fileExists(atPath: "\(folder)/ready")
                        && Self.number("\(folder)/sub") != nil
                })
            return [try #require(process.pid), try #require(try Self.number("\(folder)/sub"))]
        }
        for pid in pids {
            // A dead one may wait a moment for whoever inherits it to look after it.
            #expect(
                try await poll(every: .milliseconds(20), for: .seconds(90)) {
                    guard kill(pid, 0) == 0 else { return true }
                    let status = FileManager.default.contents(atPath: "/proc/\(pid)/stat").map {
                        String(decoding: $0, as: UTF8.self)
                    }
                    return status?.contains(") Z ") ?? true
                }, "\(pid)")
        }
    }

    @Test("a child that does not stay alive is given up with the end of its log")
    func givesUp() async throws {
        let error = await #expect(throws: DevProcess.GaveUp.self) {
            try await withChild("echo no such thing >&2; exit 3", quickDeathLimit: 2) { _, _, _ in
                try await ContinuousClock().sleep(for: .seconds(60))
            }
        }
        #expect(error?.description.contains("child ended 2 times in a row (status 3)") == true)
        #expect(error?.description.hasSuffix("no such thing\nno such thing") == true)
    }
}

import CellProtocol
import CloudModel
@testable import ComputeAgent
import FoundationEssentials
import Primitives
import Synchronization
import Testing

/// Devices and addresses of ports that no server of the host names.
@Suite struct StrayTests {
    /// Notes what would be run; a device that is deleted goes from the folder that stands for the kernel's list.
    private final class NotedCommands: HostCommands {
        let devices: String
        let lines = Mutex<[String]>([])

        init(devices: String) { self.devices = devices }

        func run(_ program: String, _ arguments: [String], input: String) async throws(HostCommandFailure) -> String {
            lines.withLock { $0.append(([program] + arguments).joined(separator: " ")) }
            if arguments.starts(with: ["link", "delete"]), let device = arguments.last {
                do {
                    try FileManager.default.removeItem(atPath: "\(devices)/\(device)")
                } catch {
                    throw HostCommandFailure(command: program, status: "1", said: "\(error)")
                }
            }
            return ""
        }
    }

    private struct Host {
        let folder: String
        let commands: NotedCommands
        let network: HostNetwork

        init() throws {
            folder = try Sample.temporaryFolder()
            commands = NotedCommands(devices: folder + "/devices")
            network = HostNetwork(
                commands: commands, directory: folder + "/networks",
                kernel: KernelFiles(devices: folder + "/devices"))
            try FileManager.default.createDirectory(atPath: folder + "/devices/lo", withIntermediateDirectories: true)
        }

        func put(device: String) throws {
            try FileManager.default.createDirectory(
                atPath: "\(folder)/devices/\(device)", withIntermediateDirectories: true)
        }

        func put(address port: PortID, in network: NetworkID) throws {
            let hosts = "\(folder)/networks/\(network)/hosts"
            try FileManager.default.createDirectory(atPath: hosts, withIntermediateDirectories: true)
            try Data("line\n".utf8).write(to: URL(filePath: "\(hosts)/\(port)"))
        }

        func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: "\(folder)/\(path)") }
        func remove() throws { try FileManager.default.removeItem(atPath: folder) }
    }

    @Test func whatNoServerNamesIsFoundAndOurServersAndOthersDevicesAreNot() async throws {
        let host = try Host()
        defer { #expect(throws: Never.self) { try host.remove() } }
        #expect(try await host.network.strayPorts(besides: []).isEmpty)
        let known = try Sample.interface()
        let (tap, address) = (PortID(UUID()), PortID(UUID()))
        for port in [known.portID, tap] { try host.put(device: DeviceNames.tap(port)) }
        for device in ["eth0", "cwb11111111111", "cwtnotours"] { try host.put(device: device) }
        for port in [known.portID, address] { try host.put(address: port, in: known.networkID) }
        let found = try await host.network.strayPorts(besides: [known])
        #expect(found == [DeviceNames.portDigits(tap), DeviceNames.portDigits(address)])
    }

    @Test func onlyWhatIsNamedAndNotOursIsTakenAway() async throws {
        let host = try Host()
        defer { #expect(throws: Never.self) { try host.remove() } }
        let known = try Sample.interface()
        let (dead, other) = (PortID(UUID()), PortID(UUID()))
        let lonely = NetworkID(UUID())
        for port in [known.portID, dead, other] { try host.put(device: DeviceNames.tap(port)) }
        for port in [known.portID, dead] { try host.put(address: port, in: known.networkID) }
        try host.put(address: dead, in: lonely)
        try host.put(device: DeviceNames.bridge(lonely))
        // A port that is named by mistake and that a server here has stays.
        try await host.network.release([dead, known.portID], besides: [known])
        #expect(!host.exists("devices/\(DeviceNames.tap(dead))"))
        #expect(host.exists("devices/\(DeviceNames.tap(known.portID))"))
        #expect(host.exists("devices/\(DeviceNames.tap(other))"))
        #expect(!host.exists("networks/\(known.networkID)/hosts/\(dead)"))
        #expect(host.exists("networks/\(known.networkID)/hosts/\(known.portID)"))
        // A network that nobody needs goes with its last port.
        #expect(!host.exists("networks/\(lonely)") && !host.exists("devices/\(DeviceNames.bridge(lonely))"))
        let before = host.commands.lines.withLock { $0.count }
        try await host.network.release([dead], besides: [known])
        #expect(host.commands.lines.withLock { $0.count } == before)
    }
}

@Suite struct TurnTests {
    @Test func aCommandOfAnEarlierSagaIsStaleAndADestroyIsNot() throws {
        let folder = try Sample.temporaryFolder()
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(atPath: folder) } }
        let guest = Sample.guest()
        func command(_ work: AgentWork, turn: Int64?, step: String) -> AgentCommand {
            AgentCommand(
                key: StepKey(saga: SagaID(UUID()), step: step, generation: 1), instanceID: guest.id, epoch: 1,
                work: work,
                turn: turn)
        }
        let journal = try StepJournal(directory: folder, now: Sample.now)
        try journal.finish(command(.start(guest), turn: 7, step: "start"), .succeeded(power: .running))
        let reopened = try StepJournal(directory: folder, now: Sample.now)
        #expect(reopened.verdict(on: command(.stop(graceSeconds: 1), turn: 6, step: "stop")) == .stale)
        #expect(reopened.verdict(on: command(.stop(graceSeconds: 1), turn: 8, step: "stop")) == .perform)
        #expect(reopened.verdict(on: command(.stop(graceSeconds: 1), turn: nil, step: "stop")) == .perform)
        #expect(reopened.verdict(on: command(.destroy, turn: 1, step: "destroy")) == .perform)
    }

    @Test func aReleaseOfPortsRaisesNoDestroyedGuest() throws {
        let folder = try Sample.temporaryFolder()
        defer { #expect(throws: Never.self) { try FileManager.default.removeItem(atPath: folder) } }
        let guest = Sample.guest()
        let journal = try StepJournal(directory: folder, now: Sample.now)
        try journal.finish(Sample.command(guest, .destroy, step: "destroy"), .succeeded(power: .noState))
        try journal.finish(Sample.command(guest, .release(ports: []), step: "port"), .succeeded(power: .noState))
        #expect(journal.verdict(on: Sample.command(guest, .spawn(guest))) == .stale)
    }
}

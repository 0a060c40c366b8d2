import CloudModel
import FoundationEssentials
import HypervisorDriver
import Primitives
import Testing

@Suite struct SimulatedHypervisorTests {
    @Test(arguments: HypervisorContract.all) func keepsTheContract(_ clause: HypervisorContract) async throws {
        let directory = FileManager.default.temporaryDirectory.path() + "cellwright-simulated-\(UUID())"
        let subject = HypervisorSubject(
            open: {
                try SimulatedHypervisor(vcpus: 8, memoryMiB: 8192, hostname: "simulated", directory: directory)
            },
            guest: { id in
                GuestDefinition(
                    id: id, displayName: "guest", vcpus: 1, memoryMiB: 64, rootDisk: nil, configDrivePath: nil,
                    cards: [], consoleLogPath: "/nonexistent/console.log")
            })
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await clause.check(subject)) } catch { outcome = .failure(error) }
        try FileManager.default.removeItem(atPath: directory)
        try outcome.get()
    }

    @Test func whatCanNotBeWrittenIsNotDone() async throws {
        let directory = FileManager.default.temporaryDirectory.path() + "cellwright-simulated-\(UUID())"
        let hypervisor = try SimulatedHypervisor(
            vcpus: 8, memoryMiB: 8192, hostname: "simulated", directory: directory)
        let id = ServerID(UUID())
        try await hypervisor.define(
            GuestDefinition(
                id: id, displayName: "guest", vcpus: 1, memoryMiB: 64, rootDisk: nil, configDrivePath: nil, cards: [],
                consoleLogPath: "/nonexistent/console.log"))
        try await hypervisor.start(id)
        try FileManager.default.removeItem(atPath: directory)
        await #expect(throws: HypervisorError.self) { try await hypervisor.requestShutdown(id) }
        #expect(try await hypervisor.state(of: id) == .running)
        await #expect(throws: HypervisorError.self) { try await hypervisor.destroy(id) }
        #expect(try await hypervisor.guests() == [id: .running])
    }
}

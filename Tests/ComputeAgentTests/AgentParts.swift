import CellProtocol
import CloudModel
import ComputeAgent
import FoundationEssentials
import HypervisorDriver
import Primitives
import Testing

enum Sample {
    static let now = Date(timeIntervalSince1970: 1_790_000_000)

    static func guest(_ id: ServerID = ServerID(UUID()), interfaces: [NetworkInterface] = []) -> GuestSpecification {
        let flavor = Flavor(id: "1", name: "m1.nano", vcpus: 1, memoryMiB: 128, diskGiB: 1)
        var instance = Instance(
            id: id, projectID: "p", userID: "u", name: "web", hostname: "web", flavor: flavor, image: nil,
            reservationID: "r-1", createdAt: now)
        instance.interfaces = interfaces
        instance.keyName = "key"
        instance.metadata = ["role": "front"]
        instance.userData = Data("#!/bin/sh\n".utf8).base64EncodedString()
        return GuestSpecification(
            BuildSpecification(instance: instance, requestID: "req-1", publicKey: "ssh-ed25519 AAAA", image: nil))
    }

    static func interface(rules: [SecurityRule] = []) throws -> NetworkInterface {
        NetworkInterface(
            portID: try #require(PortID("11111111-2222-3333-4444-555555555555")),
            networkID: try #require(NetworkID("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee")), networkName: "demo-net",
            macAddress: "fa:16:3e:00:00:01",
            addresses: [
                .init(
                    subnetID: SubnetID(UUID()), address: "10.20.0.11", prefixLength: 24, gateway: "10.20.0.1",
                    nameServers: ["9.9.9.9"])
            ], securityRules: rules)
    }

    static func command(_ guest: GuestSpecification, _ work: AgentWork, epoch: Int = 1, step: String = "spawn")
        -> AgentCommand
    {
        AgentCommand(
            key: StepKey(saga: SagaID(guest.id.uuid), step: step, generation: 1), instanceID: guest.id, epoch: epoch,
            work: work)
    }

    static func temporaryFolder() throws -> String {
        let path = FileManager.default.temporaryDirectory.path() + "/cellwright-test-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        return path
    }
}

@Suite struct StepJournalTests {
    @Test func answersARepeatAlsoAfterARestart() throws {
        let folder = try Sample.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let guest = Sample.guest()
        let command = Sample.command(guest, .spawn(guest))
        let journal = try StepJournal(directory: folder, now: Sample.now)
        #expect(journal.verdict(on: command) == .perform)
        try journal.finish(command, .succeeded(power: .running))
        #expect(journal.verdict(on: command) == .repeated(.succeeded(power: .running)))
        let reopened = try StepJournal(directory: folder, now: Sample.now)
        #expect(reopened.verdict(on: command) == .repeated(.succeeded(power: .running)))
    }

    @Test func aCommandOfAnOlderAttemptIsStale() throws {
        let folder = try Sample.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let guest = Sample.guest()
        let journal = try StepJournal(directory: folder, now: Sample.now)
        try journal.finish(Sample.command(guest, .spawn(guest), epoch: 2), .succeeded(power: .running))
        #expect(journal.verdict(on: Sample.command(guest, .spawn(guest), epoch: 1, step: "again")) == .stale)
        #expect(journal.verdict(on: Sample.command(guest, .spawn(guest), epoch: 3, step: "again")) == .perform)
    }

    @Test func aLateSpawnDoesNotRaiseADestroyedGuest() throws {
        let folder = try Sample.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let guest = Sample.guest()
        let journal = try StepJournal(directory: folder, now: Sample.now)
        try journal.finish(Sample.command(guest, .destroy, step: "destroy"), .succeeded(power: .noState))
        #expect(journal.verdict(on: Sample.command(guest, .spawn(guest))) == .stale)
        #expect(journal.verdict(on: Sample.command(guest, .destroy, step: "destroy-2")) == .perform)
        #expect(journal.verdict(on: Sample.command(guest, .spawn(guest), epoch: 2)) == .perform)
    }

    @Test func remembersABoundedNumberOfSteps() throws {
        let folder = try Sample.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let guest = Sample.guest()
        let journal = try StepJournal(directory: folder, now: Sample.now)
        for index in 0...StepJournal.stepLimit {
            try journal.finish(
                Sample.command(guest, .stop(graceSeconds: 0), step: "s\(index)"), .succeeded(power: .shutdown))
        }
        #expect(journal.verdict(on: Sample.command(guest, .stop(graceSeconds: 0), step: "s0")) == .perform)
        #expect(journal.verdict(on: Sample.command(guest, .stop(graceSeconds: 0), step: "s1")) != .perform)
    }
}

@Suite struct GuestWorkerTests {
    private func makeWorker() throws -> (GuestWorker, SimulatedHypervisor) {
        let driver = try SimulatedHypervisor(vcpus: 4, memoryMiB: 4096, hostname: "h")
        return (
            GuestWorker(driver: driver, preparation: SimulatedGuestPreparation(diskGiB: 10), clock: ContinuousClock()),
            driver
        )
    }

    @Test func everyWorkMayBeRepeated() async throws {
        let (worker, driver) = try makeWorker()
        let guest = Sample.guest()
        let life: [(AgentWork, PowerState)] = [
            (.spawn(guest), .running), (.stop(graceSeconds: 5), .shutdown), (.start(guest), .running),
            (.reboot(guest, hard: false, graceSeconds: 5), .running),
            (.reboot(guest, hard: true, graceSeconds: 0), .running),
            (.destroy, .noState),
        ]
        for (work, power) in life {
            for _ in 1...2 { #expect(try await worker.perform(work, on: guest.id) == power) }
        }
        #expect(try await driver.guests().isEmpty)
    }

    @Test func destroyingWhatIsNotHereSucceeds() async throws {
        let (worker, _) = try makeWorker()
        #expect(try await worker.perform(.destroy, on: ServerID(UUID())) == .noState)
    }

    @Test func stoppingWhatIsNotHereIsAPermanentFailure() async throws {
        let (worker, _) = try makeWorker()
        await #expect { try await worker.perform(.stop(graceSeconds: 0), on: ServerID(UUID())) } throws: { error in
            (error as? GuestFailure)?.isPermanent == true
        }
    }
}

@Suite struct SimulatedHypervisorTests {
    @Test func guestsSurviveTheAgentInTheirFolder() async throws {
        let folder = try Sample.temporaryFolder()
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let id = ServerID(UUID())
        let first = try SimulatedHypervisor(vcpus: 1, memoryMiB: 1, hostname: "h", directory: folder)
        try await first.define(
            GuestDefinition(
                id: id, displayName: "web", vcpus: 1, memoryMiB: 1, rootDisk: nil, configDrivePath: nil, cards: [],
                consoleLogPath: ""))
        try await first.start(id)
        let second = try SimulatedHypervisor(vcpus: 1, memoryMiB: 1, hostname: "h", directory: folder)
        #expect(try await second.guests() == [id: .running])
    }
}

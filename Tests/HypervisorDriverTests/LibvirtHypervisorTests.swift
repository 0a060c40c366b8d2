import CloudModel
import FoundationEssentials
import Glibc
import HypervisorDriver
import LibvirtDriver
import Primitives
import Subprocess
import Synchronization
import SystemPackage
import Testing

private final class Count: Sendable {
    let value = Atomic(0)
}

/// The adapter on a real libvirtd with real QEMU processes.
@Suite(
    .serialized, .privateLibvirtd,
    .enabled(if: PrivateLibvirtd.obstacle == nil, Comment(rawValue: PrivateLibvirtd.obstacle ?? "")))
struct LibvirtHypervisorTests {
    /// A disk whose boot sector writes a line on the serial port and halts.
    static let bootSector: [UInt8] = {
        let code: [UInt8] = [
            0xFC, 0x31, 0xC0, 0x8E, 0xD8,  // cld; ax = ds = 0
            0xBA, 0xF8, 0x03, 0xBE, 0x16, 0x7C,  // dx = the port; si = the text
            0xAC, 0x84, 0xC0, 0x74, 0x03, 0xEE, 0xEB, 0xF8,  // until a zero: al = text; out dx, al
            0xF4, 0xEB, 0xFD,  // hlt for ever
        ]
        let text = code + Array("guest was here\n".utf8)
        return text + [UInt8](repeating: 0, count: 510 - text.count) + [0x55, 0xAA]
    }()

    let daemon: PrivateLibvirtd
    let subject: HypervisorSubject

    init() throws {
        let daemon = try #require(PrivateLibvirtd.current)
        self.daemon = daemon
        subject = HypervisorSubject(
            open: { LibvirtHypervisor(daemon.settings) },
            guest: { id in
                let disk = "\(daemon.folder)/\(id).raw"
                try Data(Self.bootSector + [UInt8](repeating: 0, count: 1 << 20)).write(to: URL(filePath: disk))
                let drive = "\(daemon.folder)/\(id).iso"
                try Data([UInt8](repeating: 0, count: 1 << 16)).write(to: URL(filePath: drive))
                return GuestDefinition(
                    id: id, displayName: "<test> & 'guest'", vcpus: 1, memoryMiB: 16,
                    rootDisk: .init(path: disk, format: "raw"), configDrivePath: drive, cards: [],
                    consoleLogPath: "\(daemon.folder)/\(id).log")
            })
    }

    @Test(arguments: HypervisorContract.all) func keepsTheContract(_ clause: HypervisorContract) async throws {
        try await clause.check(subject)
    }

    @Test func aGuestSpeaksOnItsConsoleAndHasAScreen() async throws {
        try await subject.withGuest { driver, guest, _ in
            try await driver.start(guest.id)
            try await eventually("the guest speaks") {
                String(decoding: try await driver.consoleLog(of: guest.id, byteLimit: 65_536), as: UTF8.self)
                    .contains("guest was here\n")
            }
            #expect(try await driver.consoleLog(of: guest.id, byteLimit: 5) == Array("here\n".utf8))
            let screen = try await driver.vncAddress(of: guest.id)
            #expect(screen.host == "127.0.0.1" && screen.port >= 5900)
            #expect(try await driver.statistics(of: guest.id).cpuNanoseconds > 0)
        }
    }

    @Test func guestsOutliveTheDaemonAndTheDriverFindsItAgain() async throws {
        try await subject.withGuest { driver, guest, record in
            try await driver.start(guest.id)
            // QEMU reports a start twice: it starts paused and is resumed. A look may come between and say it once more.
            try await eventually("it was reported") { record.powers(of: guest.id).count >= 2 }
            try await daemon.restart()
            try await eventually("the daemon answers again") {
                await refusal { _ = try await driver.state(of: guest.id) } == nil
            }
            #expect(try await driver.state(of: guest.id) == .running)
            // Whatever libvirtd makes of the guest meanwhile, its end is reported.
            try await driver.destroy(guest.id)
            try await eventually("its end was reported") { record.powers(of: guest.id).last == .shutdown }
            // Events come on the new connection too.
            try await driver.start(guest.id)
            try await eventually("its start was reported") { record.powers(of: guest.id).last == .running }
        }
    }

    @Test func aGuestThatEndsUnseenIsReported() async throws {
        try await subject.withGuest { driver, guest, record in
            try await driver.start(guest.id)
            try await eventually("it was reported") { record.powers(of: guest.id).count >= 2 }
            try await daemon.restartWithoutGuests()
            try await eventually("its end was reported") { record.powers(of: guest.id).last == .shutdown }
            #expect(try await driver.state(of: guest.id) == .shutdown)
        }
    }

    @Test func aFrozenDaemonIsGivenUpAndFoundAgain() async throws {
        try await subject.withGuest { driver, guest, _ in
            try await daemon.freeze()
            let clock = ContinuousClock()
            var failure: HypervisorError?
            let duration = await clock.measure {
                failure = await refusal { _ = try await driver.state(of: guest.id) }
            }
            // The call was given to a daemon that does not answer: keep-alives end it.
            guard case .disconnected = failure else {
                try await daemon.thaw()
                Issue.record("\(String(describing: failure))")
                return
            }
            #expect(duration < .seconds(20))
            #expect(!driver.isConnected)
            // Nothing waits while the connection is down.
            let refused = await clock.measure { _ = await refusal { _ = try await driver.guests() } }
            #expect(refused < .seconds(30))
            try await daemon.thaw()
            try await eventually("the connection is open again") { driver.isConnected }
            #expect(try await driver.state(of: guest.id) == .shutdown)
        }
    }

    @Test func callsUnderWayAreEndedWhenTheDaemonFreezes() async throws {
        try await subject.withGuest { driver, guest, _ in
            try await daemon.freeze()
            let failures = await withTaskGroup(of: HypervisorError?.self) { group in
                for index in 0..<20 {
                    group.addTask {
                        await refusal {
                            if index.isMultiple(of: 2) {
                                _ = try await driver.state(of: guest.id)
                            } else {
                                try await driver.define(guest)
                            }
                        }
                    }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
            try await daemon.thaw()
            for failure in failures {
                guard case .disconnected = failure else {
                    Issue.record("\(String(describing: failure))")
                    continue
                }
            }
            try await eventually("the connection is open again") { driver.isConnected }
        }
    }

    @Test func aGuestThatIsKilledFromOutsideIsReported() async throws {
        try await subject.withGuest { driver, guest, record in
            try await driver.start(guest.id)
            try await eventually("it was reported") { record.powers(of: guest.id).count >= 2 }
            try await daemon.killGuests()
            try await eventually("its end was reported") {
                record.powers(of: guest.id).last == .shutdown
            }
            #expect(try await driver.state(of: guest.id) == .shutdown)
            try await driver.start(guest.id)
            #expect(try await driver.state(of: guest.id) == .running)
        }
    }

    @Test func aLookDoesNotWaitForGuestsThatEnd() async throws {
        try await subject.withGuest { driver, watched, _ in
            let guests = try (0..<LibvirtHypervisor.threadLimit + 2).map { _ in try subject.guest(ServerID(UUID())) }
            for guest in guests {
                try await driver.define(guest)
                try await driver.start(guest.id)
            }
            let ended = Count()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for guest in guests {
                    group.addTask {
                        try await driver.destroy(guest.id)
                        ended.value.add(1, ordering: .relaxed)
                    }
                }
                // All threads for changes are busy with these, and two more wait for a thread.
                _ = try await driver.consoleLog(of: watched.id, byteLimit: 100)
                #expect(ended.value.load(ordering: .relaxed) < 3)
                try await group.waitForAll()
            }
            for guest in guests { try await driver.undefine(guest.id) }
        }
    }

    @Test func aDomainWithoutOurMarkIsLeftAlone() async throws {
        let id = ServerID(UUID())
        let document = """
            <domain type='qemu'><name>cellwright-\(id)</name><uuid>\(id)</uuid><memory unit='MiB'>16</memory>
            <os><type arch='x86_64' machine='pc'>hvm</type></os></domain>
            """
        let file = "\(daemon.folder)/foreign.xml"
        try Data(document.utf8).write(to: URL(filePath: file))
        try await virsh("define", file)
        try await subject.with { driver, _ in
            #expect(try await driver.guests()[id] == nil)
            #expect(await refusal { try await driver.start(id) } == .notFound(id))
            #expect(await refusal { try await driver.undefine(id) } == nil)
            let guest = try subject.guest(id)
            #expect(await refusal { try await driver.define(guest) }?.isInvalid == true)
        }
        try await virsh("undefine", id.description)
    }

    @Test func emulationIsChosenHereForAReason() async throws {
        try await subject.with { driver, _ in
            let capabilities = try await driver.capabilities()
            #expect(["kvm", "qemu"].contains(capabilities.virtType))
            #expect(capabilities.architecture == "x86_64")
            if access("/sys/module/kvm_pvm", F_OK) == 0 { #expect(capabilities.virtType == "qemu") }
        }
    }

    /// The guest image of `deploy/guest`, when its path is given: address by DHCP, config drive, power button.
    @Test(
        .enabled(
            if: ProcessInfo.processInfo.environment["CELLWRIGHT_TEST_GUEST"] != nil,
            "CELLWRIGHT_TEST_GUEST names no guest image"))
    func aRealGuestBootsAndObeysItsPowerButton() async throws {
        let image = try #require(ProcessInfo.processInfo.environment["CELLWRIGHT_TEST_GUEST"])
        let id = ServerID(UUID())
        let disk = "\(daemon.folder)/\(id).qcow2"
        try FileManager.default.copyItem(atPath: image, toPath: disk)
        let drive = "\(daemon.folder)/\(id).iso"
        try await makeConfigDrive(drive, id)
        let guest = GuestDefinition(
            id: id, displayName: "real", vcpus: 1, memoryMiB: 128, rootDisk: .init(path: disk, format: "qcow2"),
            configDrivePath: drive,
            cards: [.init(tapName: PrivateLibvirtd.tapName, macAddress: "fa:16:3e:12:34:56", mtu: 1450)],
            consoleLogPath: "\(daemon.folder)/\(id).log")
        try await subject.with { driver, record in
            try await driver.define(guest)
            try await driver.start(id)
            try await waitForReadyLine(driver, id, count: 1)
            try await driver.requestReboot(id)
            // The log goes on within one QEMU process.
            try await waitForReadyLine(driver, id, count: 2)
            try await driver.requestShutdown(id)
            try await eventually("the guest obeys") { try await driver.state(of: id) == .shutdown }
            try await eventually("its end was reported") { record.powers(of: id).last == .shutdown }
            try await driver.undefine(id)
        }
    }

    private func waitForReadyLine(_ driver: any HypervisorDriver, _ id: ServerID, count: Int) async throws {
        try await eventually("the guest is ready, time \(count)", within: .seconds(90)) {
            let log = String(decoding: try await driver.consoleLog(of: id, byteLimit: 1 << 20), as: UTF8.self)
            return log.split(separator: "cellwright-guest ready address=10.77.0.").count == count + 1
                && log.contains("hostname=real-guest")
        }
    }

    private func makeConfigDrive(_ path: String, _ id: ServerID) async throws {
        let tree = path + ".d/openstack/latest"
        try FileManager.default.createDirectory(atPath: tree, withIntermediateDirectories: true)
        try Data(#"{"uuid": "\#(id)", "hostname": "real-guest.novalocal"}"#.utf8)
            .write(to: URL(filePath: tree + "/meta_data.json"))
        let result = try await run(
            .name("genisoimage"), arguments: ["-quiet", "-J", "-r", "-V", "config-2", "-o", path, path + ".d"],
            output: .discarded)
        try #require(result.terminationStatus.isSuccess)
    }

    private func virsh(_ arguments: String...) async throws {
        let result = try await run(
            .path("/usr/bin/virsh"), arguments: Arguments(["-q", "-c", daemon.settings.uri] + arguments),
            output: .discarded)
        try #require(result.terminationStatus.isSuccess)
    }
}

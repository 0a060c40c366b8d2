import CloudModel
import FoundationEssentials
import HypervisorDriver
import LibvirtDriver
import Primitives
import Testing

/// The adapter on libvirt's own test driver, which needs neither a daemon nor rights.
@Suite struct LibvirtTestDriverTests {
    static let subject = HypervisorSubject(
        open: { LibvirtHypervisor(.init(uri: "test:///default")) },
        guest: { id in
            GuestDefinition(
                id: id, displayName: "a <guest> & \"more\"\nlines", vcpus: 1, memoryMiB: 64,
                rootDisk: .init(path: "/nonexistent/\(id) & co.qcow2", format: "qcow2"),
                configDrivePath: "/nonexistent/\(id).iso",
                cards: [.init(tapName: "tap0", macAddress: "fa:16:3e:00:00:01", mtu: 1450)],
                consoleLogPath: "/nonexistent/\(id).log")
        })

    /// The test driver's guests are in this process and are forgotten with the last connection to it, where a daemon
    /// would keep them. This one stays.
    private static let lasting = LibvirtHypervisor(.init(uri: "test:///default"))

    @Test(arguments: HypervisorContract.all) func keepsTheContract(_ clause: HypervisorContract) async throws {
        _ = try await Self.lasting.guests()
        try await clause.check(Self.subject)
    }

    @Test func aGuestOfSomebodyElseIsNeitherSeenNorTouched() async throws {
        // The test driver begins with one domain, `test`, whose id is this.
        let foreign = try #require(ServerID("6695eb01-f6a4-8304-79aa-97f2502e193f"))
        try await Self.subject.with { driver, _ in
            #expect(try await driver.guests()[foreign] == nil)
            #expect(await refusal { try await driver.destroy(foreign) } == .notFound(foreign))
            let guest = try Self.subject.guest(foreign)
            #expect(await refusal { try await driver.define(guest) }?.isInvalid == true)
        }
    }

    @Test func aWrongAddressIsReportedAndTriedAgain() async throws {
        let driver = LibvirtHypervisor(.init(uri: "qemu+unix:///system?socket=/nonexistent/libvirt-sock"))
        for _ in 0..<2 {
            guard case .disconnected(let detail) = await refusal({ _ = try await driver.guests() }) else {
                Issue.record("no error")
                break
            }
            #expect(detail.contains("/nonexistent/libvirt-sock"))
        }
        #expect(!driver.isConnected)
        await driver.close()
    }

    @Test func aClosedDriverRefusesAndEndsItsEvents() async throws {
        let driver = LibvirtHypervisor(.init(uri: "test:///default"))
        _ = try await driver.guests()
        await driver.close()
        // Whatever was reported before can still be read; then the stream ends.
        for await _ in driver.lifecycleEvents {}
        #expect(await refusal { _ = try await driver.guests() } == .disconnected("closed"))
        #expect(!driver.isConnected)
        await driver.close()
    }

    @Test func aCancelledCallerIsAnsweredAtOnce() async throws {
        try await Self.subject.with { driver, _ in
            let outcome = await withTaskGroup(of: HypervisorError?.self) { group in
                group.cancelAll()
                group.addTask { await refusal { _ = try await driver.guests() } }
                return await group.next() ?? nil
            }
            #expect(outcome == .cancelled)
        }
    }
}

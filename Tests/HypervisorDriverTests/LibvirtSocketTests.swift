import FoundationEssentials
import Glibc
import HypervisorDriver
import Primitives
import Testing

@testable import LibvirtDriver

/// A Unix socket where connections are made and nothing is ever said, as by a daemon that is frozen.
private final class SilentDaemon: Sendable {
    let path: String
    private let descriptor: Int32

    init() throws {
        // Sockets are told apart by their names.
        path = FileManager.default.temporaryDirectory.path() + "silent-\(UUID())"
        descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        try #require(path.utf8.count < MemoryLayout.size(ofValue: address.sun_path))
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: path.utf8) }
        let length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let status = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, length) }
        }
        let backlog: Int32 = 100
        try #require(status == 0 && listen(descriptor, backlog) == 0)
    }

    deinit {
        close(descriptor)
        unlink(path)
    }

    func driver() -> LibvirtHypervisor {
        LibvirtHypervisor(
            .init(uri: "qemu+unix:///system?socket=\(path)", keepAliveSeconds: 1, keepAliveCount: 1))
    }
}

@Suite struct LibvirtSocketTests {
    @Test func aDialThatIsNotAnsweredIsGivenUp() async throws {
        let daemon = try SilentDaemon()
        let driver = daemon.driver()
        // Long before the wait for the first attempt is over.
        let limit = Duration.seconds(LibvirtConnection.firstAttemptWait - 2)
        let duration = await ContinuousClock().measure {
            guard case .disconnected(let reason) = await refusal({ _ = try await driver.guests() }) else {
                Issue.record("a silent daemon answered")
                return
            }
            #expect(reason != "libvirtd does not answer")
        }
        #expect(duration < limit)
        await driver.close()
    }

    @Test func aDriverIsClosedWhileItDials() async throws {
        let daemon = try SilentDaemon()
        let driver = LibvirtHypervisor(
            .init(uri: "qemu+unix:///system?socket=\(daemon.path)", keepAliveSeconds: 3600, keepAliveCount: 100))
        async let failure = refusal { _ = try await driver.guests() }
        try await eventually("the driver dials") {
            LibvirtSocket.hasUnclaimed(LibvirtAddress("qemu+unix:///system?socket=\(daemon.path)"))
        }
        await driver.close()
        #expect(await failure == .disconnected("closed"))
    }

    @Test(
        arguments: [
            ("qemu:///system", ["libvirt-sock", "virtqemud-sock"]),
            ("qemu+unix:///system?socket=/run/x/y-sock", ["y-sock"]),
            ("qemu+unix:///system?no_verify=1&socket=/run/x/y-sock&a=b", ["y-sock"]),
            ("test:///default", []),
        ] as [(String, Set<String>)]) func anAddressSaysWhatItsSocketIsCalled(_ uri: String, _ names: Set<String>)
    {
        #expect(LibvirtAddress(uri).socketNames == names)
    }
}

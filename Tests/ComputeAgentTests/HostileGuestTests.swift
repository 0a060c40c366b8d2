import CellProtocol
import CloudModel
import FoundationEssentials
import HypervisorDriver
import Primitives
import Synchronization
import Testing

@testable import ComputeAgent

/// What users send, and what guests write, on its way through a host.
@Suite struct HostileGuestTests {
    /// Notes what would be run; programs named in `broken` fail and say what a tool would.
    private final class NotedCommands: HostCommands {
        let lines = Mutex<[[String]]>([])
        let broken: Set<String>

        init(broken: Set<String> = []) { self.broken = broken }

        func run(_ program: String, _ arguments: [String], input: String) async throws(HostCommandFailure) -> String {
            lines.withLock { $0.append([program] + arguments) }
            guard !broken.contains(program) else {
                throw HostCommandFailure(
                    command: "\(program) \(arguments.joined(separator: " "))", status: "exited(1)",
                    said: "\(program): /var/lib/x: amqp://user:password@10.0.0.1")
            }
            // A tool that writes a file writes it.
            if let output = arguments.first(where: { $0.hasSuffix(".part") }) {
                #expect(FileManager.default.createFile(atPath: output, contents: Data()))
            }
            return ""
        }

        func named(_ program: String) -> [[String]] { lines.withLock { $0.filter { $0[0] == program } } }
    }

    private struct Host {
        let folder: String
        let commands: NotedCommands
        let preparation: LinuxGuestPreparation

        init(broken: Set<String> = []) throws {
            folder = try Sample.temporaryFolder()
            commands = NotedCommands(broken: broken)
            let kernel = KernelFiles(devices: folder + "/devices", bridgeFilterSwitch: folder + "/switch")
            preparation = LinuxGuestPreparation(
                directory: folder, imageURL: "http://127.0.0.1:1/image", commands: commands, kernel: kernel)
        }

        /// An image that is on this host already, as `bytes`.
        func guest(_ bytes: [UInt8], format: String, diskGiB: Int = 1) throws -> GuestSpecification {
            let image = ImageReference(
                id: ImageID(UUID()), name: "i", sizeBytes: Int64(bytes.count),
                sha512: String(repeating: "a", count: 128), diskFormat: format)
            let cache = folder + "/images"
            try FileManager.default.createDirectory(atPath: cache, withIntermediateDirectories: true)
            try Data(bytes).write(to: URL(filePath: "\(cache)/\(image.id)-\(image.sha512.prefix(16))"))
            var guest = Sample.guest()
            guest.image = image
            guest.diskGiB = diskGiB
            return guest
        }

        func remove() throws { try FileManager.default.removeItem(atPath: folder) }
    }

    private static let raw = [UInt8](repeating: 7, count: 4096)

    /// A qcow2 of a disk of `size` bytes, with a backing file if wanted.
    private static func qcow2(backing: Bool, size: UInt64 = 1 << 20) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 0x40000)
        func put(_ value: some FixedWidthInteger, at offset: Int) {
            withUnsafeBytes(of: value.bigEndian) { bytes.replaceSubrange(offset..<offset + $0.count, with: $0) }
        }
        put(UInt32(0x5146_49FB), at: 0)
        put(UInt32(2), at: 4)
        put(UInt64(backing ? 72 : 0), at: 8)
        put(UInt32(16), at: 20)
        put(size, at: 24)
        put(UInt32((size - 1) >> 29 + 1), at: 36)
        put(UInt64(0x30000), at: 40)
        put(UInt64(0x10000), at: 48)
        put(UInt32(1), at: 56)
        return bytes
    }

    /// Whoever wrote a file of the cache, it is looked at again before any tool opens it.
    @Test(arguments: ["raw", "qcow2"])
    func aFileThatIsNotWhatItWasIsOpenedByNothing(_ declared: String) async throws {
        let host = try Host()
        defer { #expect(throws: Never.self) { try host.remove() } }
        let guest = try host.guest(Self.qcow2(backing: true), format: declared)
        await #expect {
            _ = try await host.preparation.prepare(guest)
        } throws: { error in
            guard let failure = error as? GuestFailure else { return false }
            return failure.isPermanent && !failure.reason.contains("/")
        }
        #expect(host.commands.named("qemu-img").isEmpty)
    }

    @Test func aSmallFileOfAHugeDiskIsRefusedByTheHostToo() async throws {
        let host = try Host()
        defer { #expect(throws: Never.self) { try host.remove() } }
        let guest = try host.guest(Self.qcow2(backing: false, size: 1 << 40), format: "qcow2")
        await #expect(throws: GuestFailure.self) { try await host.preparation.prepare(guest) }
        #expect(host.commands.named("qemu-img").isEmpty)
    }

    /// What a guest writes into its disk lies in clusters of a qcow2 whose format, and whose base's, are always named.
    @Test(arguments: [("raw", raw), ("qcow2", qcow2(backing: false))])
    func everyFormatIsNamedToEveryTool(_ format: String, _ bytes: [UInt8]) async throws {
        let host = try Host()
        defer { #expect(throws: Never.self) { try host.remove() } }
        let guest = try host.guest(bytes, format: format)
        let definition = try await host.preparation.prepare(guest)
        // A soft reboot makes everything again from this server's own record.
        let again = try await host.preparation.restore(guest)
        #expect(definition == again && definition.rootDisk?.format == "qcow2")
        let calls = host.commands.named("qemu-img")
        #expect(calls.count == 1)
        for call in calls {
            #expect(call[1] == "create")
            for (option, value) in [("-f", "qcow2"), ("-F", format)] {
                let index = try #require(call.firstIndex(of: option))
                #expect(call[index + 1] == value)
            }
        }
        let own = "\(host.folder)/instances/\(guest.id)/"
        for path in [definition.rootDisk?.path, definition.configDrivePath, definition.consoleLogPath] {
            #expect(path?.hasPrefix(own) == true && path?.contains("..") == false)
        }
    }

    @Test func aFaultTellsItsUserNothingOfTheHost() async throws {
        for program in ["qemu-img", "genisoimage", "ip", "nft"] {
            let host = try Host(broken: [program])
            defer { #expect(throws: Never.self) { try host.remove() } }
            var guest = try host.guest(Self.raw, format: "raw")
            guest.interfaces = [try Sample.interface()]
            await #expect {
                _ = try await host.preparation.prepare(guest)
            } throws: { error in
                guard let failure = error as? GuestFailure else { return false }
                return ["/", "amqp", "password", "10.0.0.1", program, "swift"].allSatisfy {
                    !failure.reason.contains($0)
                } && failure.details.contains(program)
            }
        }
    }

    /// A bridge that forgets addresses at once floods every frame to every neighbour.
    @Test func aBridgeRemembersWhoIsWhere() async throws {
        let host = try Host()
        defer { #expect(throws: Never.self) { try host.remove() } }
        var guest = try host.guest(Self.raw, format: "raw")
        guest.interfaces = [try Sample.interface()]
        _ = try await host.preparation.prepare(guest)
        let bridges = host.commands.named("ip").filter { $0.contains("bridge") }
        #expect(!bridges.isEmpty)
        for call in host.commands.named("ip") {
            for word in ["ageing", "ageing_time", "flood", "hairpin", "promisc"] { #expect(!call.contains(word)) }
        }
    }

    @Test(arguments: [
        "../../../etc/cron.d/x", "/etc/passwd", "a\nb", "a\u{0}b", "\"},{\"", "</name>", "\u{202E}", "$(reboot)", "",
    ])
    func whatUsersWriteIsContentOfAConfigDriveAndNeverAPath(_ text: String) throws {
        let plain = Sample.guest()
        var hostile = Sample.guest(plain.id)
        hostile.name = text
        hostile.hostname = text
        hostile.keyName = text
        hostile.publicKey = text
        hostile.availabilityZone = text
        hostile.metadata = [text: text, "../\(text)": "x"]
        hostile.userData = Data(text.utf8).base64EncodedString()
        let files = try ConfigDrive(hostile).files()
        #expect(Set(files.keys) == Set(try ConfigDrive(plain).files().keys))
        let meta = try JSONParser.parse(Array(try #require(files["openstack/latest/meta_data.json"])))
        #expect(meta["name"]?.string == text && meta["meta"]?[text]?.string == text)
        #expect(files["openstack/latest/user_data"] == Data(text.utf8))
    }

    @Test(arguments: ["", "*", "====", "QQ", "QQ===", "\u{0}", "QUJD\nREVG", String(repeating: "A", count: 65_535)])
    func userDataThatIsNoneIsLeftOut(_ text: String) throws {
        var guest = Sample.guest()
        guest.userData = text
        let files = try ConfigDrive(guest).files()
        let expected = Data(base64Encoded: text)
        #expect(files["openstack/latest/user_data"] == expected)
    }
}

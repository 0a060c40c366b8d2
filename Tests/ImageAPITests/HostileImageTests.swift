import CloudModel
import HTTPKit
import HTTPTypes
import Primitives
import Testing

@testable import ImageAPI

/// Images that were made to make a hypervisor read other files, run away with memory, or see another format.
enum HostileImage: String, CaseIterable, Sendable {
    case backingFile, dataFileBit, dataFileName, rawDataFile, backingAndDataFile, backingFormat
    case hugeDisk, hugeTable, longHeader, endlessExtension, encrypted, unknownFeature
    case flatDescriptor, customDescriptor, vmdk, vhd, vhdx, vdi, iso, bootableISO, qed, qcow, luks
    case qcow2WithFooter, diskWithFooter, descriptorInDisk

    var bytes: [UInt8] {
        switch self {
        case .backingFile: Self.qcow2 { $0.put(UInt64(0x200), at: 8) }
        case .dataFileBit: Self.qcow2 { $0.put(UInt64(1 << 2), at: 72) }
        case .dataFileName: Self.qcow2 { $0.put(extension: 0x4441_5441, "/etc/shadow") }
        case .rawDataFile: Self.qcow2 { $0.put(UInt64(2), at: 88) }
        case .backingAndDataFile:
            Self.qcow2 {
                $0.put(UInt64(0x200), at: 8)
                $0.put(UInt64(1 << 2), at: 72)
                $0.put(extension: 0x4441_5441, "/dev/sda")
            }
        case .backingFormat: Self.qcow2 { $0.put(extension: 0xE279_2ACA, "raw") }
        case .hugeDisk: Self.qcow2 { $0.put(UInt64(1) << 60, at: 24) }
        case .hugeTable: Self.qcow2 { $0.put(UInt32.max, at: 36) }
        case .longHeader: Self.qcow2 { $0.put(UInt32(0x7FFF_FFF8), at: 100) }
        case .endlessExtension: Self.qcow2 { $0.put(UInt64(0x1234_5678_FFFF_FFF0), at: 112) }
        case .encrypted: Self.qcow2 { $0.put(UInt32(2), at: 32) }
        case .unknownFeature: Self.qcow2 { $0.put(UInt64(1) << 40, at: 72) }
        case .flatDescriptor: Array("# Disk DescriptorFile\nversion=1\nRW 2048 FLAT \"/etc/shadow\" 0\n".utf8)
        case .customDescriptor: Array("\n# x\nVersion=3\ncreateType=\"vmfs\"\nRW 1 VMFS \"/dev/sda\"\n".utf8)
        case .vmdk: Self.disk("KDMV", at: 0)
        case .vhd: Self.disk("conectix", at: 0)
        case .vhdx: Self.disk("vhdxfile", at: 0)
        case .vdi: Self.disk([0x7F, 0x10, 0xDA, 0xBE], at: 0x40)
        case .iso: Self.disk("CD001", at: 32_769)
        case .bootableISO: Self.disk([0x55, 0xAA], at: 510, Self.disk("CD001", at: 32_769))
        case .qed: Self.disk("QED\0", at: 0)
        case .qcow: Self.disk([0x51, 0x46, 0x49, 0xFB, 0, 0, 0, 1], at: 0)
        case .luks: Self.disk([0x4C, 0x55, 0x4B, 0x53, 0xBA, 0xBE, 0, 2], at: 0)
        case .qcow2WithFooter: Self.disk("conectix", at: 0x40000 - 512, Self.qcow2 { $0.put(UInt64(72), at: 8) })
        case .diskWithFooter: Self.disk("conectix", at: 65_536 - 512)
        case .descriptorInDisk: Self.disk("# Disk DescriptorFile\nRW 1 FLAT \"/etc/passwd\" 0\n", at: 0)
        }
    }

    /// A qcow2 of version 3 that is right but for `change`.
    static func qcow2(_ change: (inout [UInt8]) -> Void = { _ in }) -> [UInt8] {
        var bytes = [UInt8](repeating: 0, count: 0x40000)
        bytes.put(UInt32(0x5146_49FB), at: 0)
        bytes.put(UInt32(3), at: 4)
        bytes.put(UInt32(16), at: 20)
        bytes.put(UInt64(1 << 20), at: 24)
        bytes.put(UInt32(1), at: 36)
        bytes.put(UInt64(0x30000), at: 40)
        bytes.put(UInt64(0x10000), at: 48)
        bytes.put(UInt32(1), at: 56)
        bytes.put(UInt32(4), at: 96)
        bytes.put(UInt32(112), at: 100)
        change(&bytes)
        return bytes
    }

    private static func disk(_ mark: String, at offset: Int, _ bytes: [UInt8] = disk) -> [UInt8] {
        disk(Array(mark.utf8), at: offset, bytes)
    }

    private static func disk(_ mark: [UInt8], at offset: Int, _ bytes: [UInt8] = disk) -> [UInt8] {
        var bytes = bytes
        bytes.replaceSubrange(offset..<offset + mark.count, with: mark)
        return bytes
    }

    private static let disk = [UInt8](repeating: 0, count: 65_536)
}

extension [UInt8] {
    fileprivate mutating func put(_ value: some FixedWidthInteger, at offset: Int) {
        Swift.withUnsafeBytes(of: value.bigEndian) { replaceSubrange(offset..<offset + $0.count, with: $0) }
    }

    fileprivate mutating func put(extension type: UInt32, _ text: String) {
        put(type, at: 112)
        put(UInt32(text.utf8.count), at: 116)
        replaceSubrange(120..<120 + text.utf8.count, with: text.utf8)
    }
}

@Suite struct HostileImageTests {
    @Test func theHandMadeImageIsGoodWithoutItsFlaw() async throws {
        let bench = try ImageBench()
        let image = try await bench.create(["disk_format": "qcow2"])
        #expect(try await bench.upload(image.id, HostileImage.qcow2()).status == 204)
    }

    /// Every real format under every format that can be declared.
    @Test(arguments: HostileImage.allCases, ["raw", "qcow2"])
    func isRefusedWhateverItIsCalled(_ hostile: HostileImage, _ declared: String) async throws {
        let bench = try ImageBench()
        let image = try await bench.create(["disk_format": .string(declared)])
        let answer = try await bench.upload(image.id, hostile.bytes)
        #expect(answer.status == 415)
        #expect(answer["code"]?.string?.hasPrefix("415") == true)
        let message = try #require(answer["message"]?.string)
        for part in ["/etc", "/dev", bench.folder] { #expect(!message.contains(part), "\(message)") }
        #expect(bench.files.isEmpty)
        #expect(try await bench.show(image.id)["status"] == "queued")
    }

    @Test(arguments: ["vmdk", "vhd", "vhdx", "vdi", "iso", "ami", "ploop", "luks", "RAW", "", "qcow", "auto"])
    func aFormatThatIsNotTakenCanNotBeDeclared(_ format: String) async throws {
        let bench = try ImageBench()
        #expect(try await bench.create(["disk_format": .string(format)]).status == 400)
    }

    /// Nobody makes this service fetch something: neither a location nor an import from elsewhere is taken.
    @Test func noImageComesFromAnAddress() async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        let address: JSONValue = "http://169.254.169.254/latest/meta-data"
        for key in ["location", "locations", "direct_url", "file", "self"] {
            #expect(try await bench.create([key: address]).status == 403, "\(key)")
            let patch: JSONValue = [["op": "add", "path": .string("/\(key)"), "value": address]]
            #expect(try await bench.patch(image.id, patch).status == 403, "\(key)")
        }
        let entry: JSONValue = [["op": "add", "path": "/locations/-", "value": ["url": address, "metadata": [:]]]]
        let refused = try await bench.patch(image.id, entry).status
        #expect([400, 403].contains(refused))
        let body: JSONValue = ["method": ["name": "web-download", "uri": address]]
        for path in ["/v2/images/\(image.id)/import", "/v2/images/\(image.id)/stage", "/v2/tasks", "/v1/images"] {
            let answer = try await bench.call(.post, path, body)
            #expect([404, 405].contains(answer.status), "\(path): \(answer.status)")
        }
        let copied = try await bench.call(
            .post, "/v2/images", ["disk_format": "raw", "container_format": "bare"],
            headers: [HTTPField.Name(fixed: "x-image-meta-copy_from"): "http://169.254.169.254/"])
        #expect(copied.status == 201 && copied["status"] == "queued")
        #expect(bench.files.isEmpty)
        #expect(try await bench.call(.get, "/v2/info/import")["import-methods", "value"] == [])
    }

    @Test(arguments: [
        "../../etc/passwd", "/etc/passwd", "a/../../b", "..", "%2e%2e%2f", "name\nX-Header: 1", "<script>",
    ])
    func aNameIsOnlyAName(_ name: String) async throws {
        let bench = try ImageBench()
        let image = try await bench.create(["name": .string(name), "path": .string(name), "tags": [.string(name)]])
        #expect(image.status == 201 && image["name"]?.string == name)
        #expect(try await bench.upload(image.id, [1, 2, 3]).status == 204)
        let file = try #require(bench.files.first)
        #expect(bench.files.count == 1 && file.hasPrefix("\(image.id)."))
        let down = try await bench.call(.get, "/v2/images/\(image.id)/file")
        #expect(down.headers[.contentType] == "application/octet-stream" && down.headers[.contentDisposition] == nil)
    }

    @Test(arguments: ["../x", "..%2F..%2Fetc%2Fpasswd", "%2e%2e", "x%00y", "11111111-1111-4111-8111-111111111111%2f.."])
    func aPathLeadsNowhereElse(_ id: String) async throws {
        let bench = try ImageBench()
        for path in ["/v2/images/\(id)/file", "/v2/images/\(id)"] {
            let status = try await bench.call(.get, path).status
            #expect([400, 404].contains(status), "\(path)")
        }
        let status = try await bench.upload(id, [1]).status
        #expect([400, 404, 405].contains(status))
        #expect(bench.files.isEmpty)
    }

    /// Whoever sees an image of another project may still not change anything of it, its tags least of all.
    @Test func anImageOfAnotherProjectIsNotTouched() async throws {
        let bench = try ImageBench()
        let image = try await bench.create(["visibility": "community"])
        _ = try await bench.upload(image.id, [1, 2, 3])
        let path = "/v2/images/\(image.id)"
        #expect(try await bench.call(.get, path, as: "p2:member").status == 200)
        let changes: [(HTTPRequest.Method, String)] = [
            (.put, "\(path)/tags/x"), (.delete, "\(path)/tags/x"), (.delete, path),
            (.post, "\(path)/actions/deactivate"), (.post, "\(path)/members"),
        ]
        for (method, target) in changes {
            let status = try await bench.call(method, target, as: "p2:member").status
            #expect([403, 404, 405].contains(status), "\(method) \(target): \(status)")
        }
        let patch: JSONValue = [["op": "replace", "path": "/name", "value": "mine"]]
        #expect(try await bench.patch(image.id, patch, as: "p2:member").status == 403)
        #expect(try await bench.upload(image.id, [9], as: "p2:member").status == 403)
    }
}

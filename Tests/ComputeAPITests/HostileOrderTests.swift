import APITestSupport
import CellProtocol
import CloudModel
import HTTPKit
import HTTPTypes
import Primitives
import Testing

@testable import ComputeAPI

/// Orders and actions by which other clouds were once attacked.
@Suite struct HostileOrderTests {
    // MARK: Images and disks

    @Test func aSmallFileOfAHugeDiskDoesNotFitASmallFlavor() async throws {
        let bench = try await ComputeBench()
        let id = "33333333-3333-4333-8333-333333333333"
        bench.images.add(
            BootableImage(
                id: try #require(ImageID(id)), name: "bomb", status: "active", sizeBytes: 200_000,
                virtualSizeBytes: 64 << 40, sha512: "", diskFormat: "qcow2"))
        let answer = try await bench.create(["imageRef": .string(id)])
        #expect(answer.status == 400)
        #expect(answer["badRequest", "message"]?.string?.contains("too small") == true)
    }

    /// Without a size of its own a disk would be as large as the image says it is.
    @Test func onlyAdministratorsBootFlavorsWithoutADisk() async throws {
        let bench = try await ComputeBench()
        let flavor: JSONValue = ["flavor": ["name": "none", "id": "none", "ram": 512, "vcpus": 1, "disk": 0]]
        #expect(try await bench.api.post(bench.path("flavors"), flavor, as: .root).status == 200)
        let refused = try await bench.create(["flavorRef": "none"])
        #expect(refused.status == 403)
        #expect(refused["forbidden", "code"] == 403)
        #expect(bench.cloud.lastAccepted == nil)
        #expect(try await bench.create(["flavorRef": "none"], as: .root).status == 202)
    }

    @Test(arguments: [
        "http://169.254.169.254/latest/meta-data", "file:///etc/passwd", "//evil.example/x",
        "glance://../../etc/passwd", "../../../etc/shadow", "http://evil.example/images/",
    ])
    func anImageIsNamedAndNeverFetchedFromAnAddress(_ reference: String) async throws {
        let bench = try await ComputeBench()
        #expect(try await bench.create(["imageRef": .string(reference)]).status == 400)
        #expect(bench.cloud.lastAccepted == nil)
    }

    // MARK: What this cloud does not have, so that nobody can misuse it

    @Test func volumesCanNeitherBeSwappedNorDetached() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        let volume = "44444444-4444-4444-8444-444444444444"
        let calls: [(HTTPRequest.Method, String, JSONValue?)] = [
            (.post, "servers/\(id)/os-volume_attachments", ["volumeAttachment": ["volumeId": .string(volume)]]),
            (
                .put, "servers/\(id)/os-volume_attachments/\(volume)",
                ["volumeAttachment": ["volumeId": .string(volume)]]
            ),
            (.delete, "servers/\(id)/os-volume_attachments/\(volume)", nil),
            (.post, "os-assisted-volume-snapshots", ["snapshot": ["volume_id": .string(volume)]]),
        ]
        for person in [Person.ann, .root] {
            for (method, path, body) in calls {
                let answer = try await bench.api.send(method, bench.path(path), body, as: person, version: 100)
                #expect([404, 405].contains(answer.status), "\(method) \(path): \(answer.status)")
            }
        }
        let order: JSONValue = [["source_type": "volume", "uuid": .string(volume), "boot_index": 0]]
        #expect(try await bench.create(["block_device_mapping_v2": order]).status == 400)
    }

    @Test(
        arguments: [
            ["os-migrateLive": ["host": "http://169.254.169.254/", "block_migration": true]],
            ["os-migrateLive": ["host": "n1", "block_migration": "auto"]], ["migrate": ["host": "n1"]],
            ["evacuate": ["host": "../../n1"]], ["resize": ["flavorRef": "2"]], ["rebuild": ["imageRef": "x"]],
            ["rescue": .object([:])], ["createImage": ["name": "../../x"]], ["createBackup": .object([:])],
            ["swapVolume": .object([:])], ["addFloatingIp": ["address": "1.1.1.1"]], ["changePassword": .object([:])],
            ["os-getVNCConsole": ["type": "novnc"]], ["os-getSPICEConsole": ["type": "spice-html5"]],
            ["os-getSerialConsole": ["type": "serial"]], ["injectNetworkInfo": .null],
            ["os-resetState": ["state": "active"]],
        ] as [JSONValue])
    func whatIsNotOfferedIsRefusedAndDoesNothing(_ action: JSONValue) async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        let server = try #require(ServerID(id))
        let before = bench.cloud.instance(server)
        for person in [Person.ann, .root] {
            let answer = try await bench.act(id, action, as: person)
            #expect(answer.status == 400, "\(action.text)")
            let message = try #require(answer["badRequest", "message"]?.string)
            #expect(!message.contains("169.254") && !message.contains("token"))
        }
        #expect(bench.cloud.instance(server) == before)
    }

    /// There is no console but the log: no token that could be used twice, shown in a log, or read by another.
    @Test func noConsoleTokenIsEverMade() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        for (protocolName, type) in [
            ("vnc", "novnc"), ("serial", "serial"), ("spice", "spice-html5"), ("mks", "webmks"),
        ] {
            let body: JSONValue = ["remote_console": ["protocol": .string(protocolName), "type": .string(type)]]
            let answer = try await bench.api.post(bench.path("servers/\(id)/remote-consoles"), body, version: 100)
            #expect(answer.status == 404 && answer["remote_console"] == nil)
        }
        let path = bench.path("os-console-auth-tokens/11111111-1111-4111-8111-111111111111")
        for _ in 1...2 { #expect(try await bench.api.get(path, as: .root, version: 100).status == 404) }
    }

    @Test func whatAConsoleSaysIsDataOnly() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        bench.cloud.setConsole("<script>alert(1)</script>\u{1B}]0;x\u{7}")
        let answer = try await bench.act(id, ["os-getConsoleOutput": .object([:])])
        #expect(answer.status == 200)
        #expect(answer.headers[.contentType]?.hasPrefix("application/json") == true)
        #expect(answer["output"]?.string?.contains("<script>") == true)
    }

    // MARK: Names, metadata, places

    @Test(arguments: [
        "../../etc/passwd", "/etc/passwd", "a\\..\\b", "$(reboot)", "`id`", "a;b|c&d", "x,192.0.2.1,evil,infinite",
        "a\nb", "-rf", "%2e%2e%2f", "web\u{202E}gnp", "<domain/>",
    ])
    func aNameBecomesAHostNameOfLettersOnly(_ name: String) async throws {
        let bench = try await ComputeBench()
        let answer = try await bench.create(["name": .string(name)])
        guard answer.status == 202 else {
            #expect(answer.status == 400)
            return
        }
        let instance = try #require(bench.cloud.lastAccepted?.build.instance)
        #expect(instance.name == name)
        #expect(!instance.hostname.isEmpty && instance.hostname.utf8.count <= 63)
        #expect(instance.hostname.utf8.first != UInt8(ascii: "-"))
        #expect(
            instance.hostname.utf8.allSatisfy {
                ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == UInt8(ascii: "-")
            }, "\(instance.hostname)")
    }

    @Test(arguments: ["a,b", "a b", "a\nb", "a/b", "../x", "-a", "a-", "a..b", "x;y", "é", "a_b", ".", "a."])
    func aHostNameThatIsGivenIsADomainName(_ name: String) async throws {
        let bench = try await ComputeBench()
        for version in [90, 94] {
            #expect(try await bench.create(["hostname": .string(name)], version: version).status == 400, "2.\(version)")
        }
    }

    @Test(arguments: ["../x", "a/b", "/etc/passwd", "a\\b", "a\nb", "a\u{0}b", "", "é", "a=b", "$(x)"])
    func aMetadataKeyIsAWord(_ key: String) async throws {
        let bench = try await ComputeBench()
        #expect(try await bench.create(["metadata": .object([key: "v"])]).status == 400)
        let id = try await bench.active()
        let path = bench.path("servers/\(id)/metadata")
        let body: JSONValue = ["metadata": .object([key: "v"])]
        #expect(try await bench.api.post(path, body, version: 100).status == 400)
        #expect(try await bench.api.put(path, body, version: 100).status == 400)
    }

    @Test(arguments: ["169.254.169.254", "http://169.254.169.254/", "../n1", "n1\u{0}", "n1;reboot", "nowhere"])
    func aHostIsOneThatIsKnown(_ host: String) async throws {
        let bench = try await ComputeBench()
        for change in ["host", "hypervisor_hostname"] {
            #expect(try await bench.create([change: .string(host)]).status == 403 || host.contains("\u{0}"))
            #expect(try await bench.create([change: .string(host)], as: .root).status == 400)
        }
        #expect(try await bench.create(["availability_zone": .string(":\(host)")], as: .root).status == 400)
        #expect(bench.cloud.lastAccepted == nil)
    }

    // MARK: Faults

    @Test func noFaultTellsWhatACellSaid() throws {
        let secret = "/var/lib/x amqp://user:password@10.0.0.1 at Foo.swift:12"
        let cell = try #require(CellPath("/north"))
        let errors: [CellError] = [
            .unknownCell(cell), .unreachable(cell), .timedOut(cell), .overloaded(cell), .failed(cell, secret),
            .malformed(cell, secret), .cancelled,
        ]
        for error in errors {
            // Those without a fault of their own become a 500 that says nothing (`APIResponderTests`).
            guard let fault = ComputeFaults.fault(error) else { continue }
            for part in ["/var", "amqp", "password", "10.0.0.1", "swift", "/north"] {
                #expect(!fault.message.contains(part), "\(fault.message)")
            }
        }
    }

    @Test func aCellThatIsAwayIsAnErrorWithoutDetails() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        for cell in [InMemoryCloud.north, InMemoryCloud.south] { bench.cloud.setDown(cell) }
        let answer = try await bench.act(id, ["os-getConsoleOutput": .object([:])])
        #expect(answer.status >= 500)
        let text = String(decoding: answer.bytes, as: UTF8.self)
        for part in ["cell.", "/north", "/south", "unreachable"] { #expect(!text.contains(part), "\(text)") }
    }
}

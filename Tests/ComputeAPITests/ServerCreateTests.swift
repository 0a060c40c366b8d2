import APITestSupport
import CellProtocol
import CloudModel
import HTTPKit
import HTTPTypes
import Primitives
import Testing

@Suite struct ServerCreateTests {
    @Test func aServerIsAccepted() async throws {
        let bench = try await ComputeBench()
        let answer = try await bench.create(["metadata": ["role": "web"], "key_name": "k"])
        #expect(answer.status == 400, "the key does not exist yet")
        _ = try await bench.api.post(bench.path("os-keypairs"), ["keypair": ["name": "k"]], version: 10)
        let made = try await bench.create(["metadata": ["role": "web"], "key_name": "k"])
        #expect(made.status == 202)
        let id = try #require(made["server", "id"]?.string)
        #expect(made.headers[.location] == "http://cloud/compute/v2.1/servers/\(id)")
        #expect(made["server", "OS-DCF:diskConfig"] == "MANUAL")
        #expect(made["server", "security_groups"] == [["name": "default"]])
        #expect(made["server", "adminPass"]?.string?.count == 12)
        let accepted = try #require(bench.cloud.lastAccepted)
        #expect(accepted.build.publicKey?.hasPrefix("ssh-ed25519 ") == true)
        #expect(accepted.build.image?.token == "ticket")
        #expect(accepted.build.requestID.hasPrefix("req-"))
        #expect(accepted.forcedHost == nil)
        let shown = try await bench.api.get(bench.path("servers/\(id)"), version: 100)
        #expect(shown["server", "status"] == "BUILD")
        #expect(shown["server", "OS-EXT-STS:task_state"] == "scheduling")
        #expect(shown["server", "addresses", "private", "0", "addr"] == "10.0.0.2")
        #expect(shown["server", "metadata", "role"] == "web")
        #expect(shown["server", "flavor", "original_name"] == "m1.tiny")
        #expect(shown["server", "hostId"] == "")
    }

    @Test func whatTheCommandLineClientSendsIsAccepted() async throws {
        let bench = try await ComputeBench()
        let answer = try await bench.create([
            "networks": [["uuid": .string(bench.networkID)]], "min_count": 1, "max_count": 1,
            "security_groups": [["name": "default"]],
            "block_device_mapping_v2": [
                [
                    "uuid": .string(ComputeBench.imageID), "boot_index": 0, "source_type": "image",
                    "destination_type": "local", "delete_on_termination": true,
                ]
            ],
        ])
        #expect(answer.status == 202)
    }

    /// A balancer asks again when the answer was lost, and gives each try the same key.
    @Test func anOrderIsRepeatedWithItsKeyAndMakesItsServersOnce() async throws {
        let bench = try await ComputeBench()
        func create(_ key: String, _ changes: [String: JSONValue] = [:]) async throws -> Answer {
            let headers: HTTPFields = [.idempotencyKey: key]
            let order = ComputeBench.order(changes)
            return try await bench.api.send(.post, bench.path("servers"), order, version: 100, headers: headers)
        }
        let first = try await create("a")
        let again = try await create("a")
        #expect(first.status == 202)
        #expect(again.status == 202)
        #expect(again["server", "id"] == first["server", "id"])
        #expect(again.headers[.location] == first.headers[.location])
        let other = try await create("b")
        #expect(other.status == 202)
        #expect(other["server", "id"] != first["server", "id"])
        let two: [String: JSONValue] = ["min_count": 2, "max_count": 2, "return_reservation_id": true]
        let reserved = try await create("c", two)
        #expect(reserved.status == 202)
        #expect(try await create("c", two)["reservation_id"] == reserved["reservation_id"])
        let list = try await bench.api.get(bench.path("servers"))
        #expect(list.names("servers", "name").sorted() == ["web", "web", "web-1", "web-2"])
    }

    @Test func severalServersShareAReservation() async throws {
        let bench = try await ComputeBench()
        let made = try await bench.create(["min_count": 2, "max_count": "3", "return_reservation_id": true])
        #expect(made.status == 202)
        let reservation = try #require(made["reservation_id"]?.string)
        let list = try await bench.api.get(
            bench.path("servers?sort_key=display_name&sort_dir=asc&reservation_id=\(reservation)"), version: 100)
        #expect(list.names("servers") == ["web-1", "web-2", "web-3"])
    }

    @Test func asManyAsTheQuotaLeavesAreMade() async throws {
        let bench = try await ComputeBench()
        #expect(try await bench.create(["min_count": 8]).status == 202)
        #expect(try await bench.create(["min_count": 1, "max_count": 5]).status == 202)
        let list = try await bench.api.get(bench.path("servers"), version: 100)
        #expect(list.names("servers").count == 10)
        let refused = try await bench.create()
        #expect(refused.status == 403)
        #expect(refused["forbidden", "message"]?.string?.contains("already used 10 of 10 instances") == true)
        #expect(try await bench.create(as: .bob).status == 202)
    }

    @Test(
        arguments: [
            (["flavorRef": "nothing"], 100, 400), (["flavorRef": ""], 100, 400), (["flavorRef": .null], 100, 400),
            (["imageRef": "22222222-2222-4222-8222-222222222222"], 100, 400), (["imageRef": "name"], 100, 400),
            (["imageRef": ""], 100, 400), (["name": ""], 100, 400), (["name": 5], 100, 400), (["name": " x"], 100, 400),
            (["colour": "red"], 1, 400), (["colour": "red"], 100, 400), (["metadata": ["a": 1]], 100, 400),
            (["metadata": ["a/b": "c"]], 100, 400), (["metadata": "x"], 100, 400), (["min_count": 0], 100, 400),
            (["min_count": 3, "max_count": 2], 100, 400), (["min_count": "x"], 100, 400),
            (["min_count": 5000], 100, 400),
            (["user_data": "not base 64!"], 100, 400), (["key_name": "nothing"], 100, 400),
            (["networks": "all"], 100, 400), (["networks": [["uuid": "x"]]], 100, 400),
            (["networks": [["uuid": "22222222-2222-4222-8222-222222222222"]]], 100, 400),
            (["networks": [["port": "22222222-2222-4222-8222-222222222222"]]], 100, 400),
            (["networks": [.object([:])]], 100, 400), (["networks": [["fixed_ip": "10.0.0.9"]]], 100, 400),
            (["networks": "auto"], 36, 400), (["security_groups": [["name": "nothing"]]], 100, 400),
            (["security_groups": ["default"]], 100, 400), (["availability_zone": "nowhere"], 100, 400),
            (["availability_zone": "north:n1"], 100, 403), (["host": "n1"], 74, 403), (["host": "n1"], 73, 400),
            (["personality": [["path": "/x", "contents": ""]]], 56, 400), (["personality": []], 57, 400),
            (["description": "x"], 18, 400), (["tags": ["a"]], 51, 400), (["tags": ["a/b"]], 52, 400),
            (["hostname": "web"], 89, 400), (["hostname": "-web"], 90, 400), (["hostname": "a.b"], 93, 400),
            (["accessIPv4": "10.0.0.256"], 100, 400), (["accessIPv6": "10.0.0.1"], 100, 400),
            (["accessIPv6": "1::2::3"], 100, 400), (["config_drive": "perhaps"], 100, 400),
            (["OS-DCF:diskConfig": "SOMETIMES"], 100, 400),
            (["block_device_mapping": [["volume_id": "x"]]], 100, 400),
            (["block_device_mapping_v2": [["source_type": "volume", "uuid": "x", "boot_index": 0]]], 100, 400),
            (["trusted_image_certificates": ["x"]], 63, 400), (["os:scheduler_hints": .object([:])], 100, 400),
            (["name": "a\u{0}b"], 100, 400),
        ] as [(JSONValue, Int, Int)])
    func ordersAreChecked(change: JSONValue, minor: Int, status: Int) async throws {
        let bench = try await ComputeBench()
        var changes = change.object ?? [:]
        if minor < 37, changes["networks"] == nil { changes["networks"] = [["uuid": .string(bench.networkID)]] }
        let answer = try await bench.create(changes, version: minor)
        #expect(answer.status == status)
        let fault = status == 403 ? "forbidden" : "badRequest"
        #expect(answer[fault, "message"]?.string?.isEmpty == false)
        #expect(try await bench.networks.ports(PortQuery()).isEmpty)
        #expect(bench.cloud.lastAccepted == nil)
    }

    @Test func aNameMayHave255CharactersAndNoMore() async throws {
        let bench = try await ComputeBench()
        #expect(try await bench.create(["name": .string(String(repeating: "n", count: 255))]).status == 202)
        #expect(try await bench.create(["name": .string(String(repeating: "n", count: 256))]).status == 400)
    }

    @Test(arguments: [
        "{", "[]", "null", "", "{\"server\": 1}", "{\"server\": {}, \"more\": 1}", "{\"server\": {\"name\": \"x\"}}",
    ])
    func whatIsNoOrderIsRefused(text: String) async throws {
        let bench = try await ComputeBench()
        let answer = try await bench.api.send(.post, bench.path("servers"), text: text, version: 100)
        #expect(answer.status == 400)
        #expect(answer["badRequest", "code"] == 400)
    }

    @Test func oversizedBodiesAndOtherMediaTypesAreRefused() async throws {
        let bench = try await ComputeBench()
        let long = "{\"server\": {\"name\": \"\(String(repeating: "x", count: 200_000))\"}}"
        let tooLong = try await bench.api.send(.post, bench.path("servers"), text: long)
        #expect(tooLong.status == 413)
        #expect(tooLong["overLimit", "code"] == 413)
        let xml = try await bench.api.send(
            .post, bench.path("servers"), text: "<server/>", headers: [.contentType: "text/xml"])
        #expect(xml.status == 415)
        #expect(xml["badMediaType", "code"] == 415)
    }

    @Test func readersCreateNothing() async throws {
        let bench = try await ComputeBench()
        #expect(try await bench.create(as: .rita).status == 403)
    }

    @Test(
        arguments: [
            (["availability_zone": "north:n1"], 1), (["availability_zone": "north:n1:n1.example"], 100),
            (["host": "n1"], 74), (["hypervisor_hostname": "n1.example"], 74), (["availability_zone": ":n1"], 100),
        ] as [(JSONValue, Int)])
    func administratorsChooseTheHost(change: JSONValue, minor: Int) async throws {
        let bench = try await ComputeBench()
        var changes = change.object ?? [:]
        if minor < 37 { changes["networks"] = [] }
        #expect(try await bench.create(changes, as: .root, version: minor).status == 202)
        #expect(bench.cloud.lastAccepted?.forcedHost == "n1")
        changes = changes.mapValues { $0.string.map { .string($0.replacing("n1", with: "n9")) } ?? $0 }
        #expect(try await bench.create(changes, as: .root, version: minor).status == 400)
    }

    @Test func networksMayBeLeftToTheCloudOrLeftOut() async throws {
        let bench = try await ComputeBench()
        let body: JSONValue = [
            "server": ["name": "old", "imageRef": .string(ComputeBench.imageID), "flavorRef": 1]
        ]
        #expect(try await bench.api.post(bench.path("servers"), body).status == 202)
        #expect(try await bench.api.post(bench.path("servers"), body, version: 37).status == 400)
        #expect(try await bench.networks.ports(PortQuery()).count == 1)
        #expect(try await bench.create(["networks": "none"]).status == 202)
        #expect(try await bench.networks.ports(PortQuery()).count == 1)
        #expect(bench.cloud.lastAccepted?.ports.choice == PortReservation.Choice.none)
    }

    @Test func aFixedAddressAndAPortCanBeGiven() async throws {
        let bench = try await ComputeBench()
        let network = JSONValue.string(bench.networkID)
        let fixed: JSONValue = [["uuid": network, "fixed_ip": "10.0.9.9", "tag": "front"]]
        #expect(try await bench.create(["networks": fixed]).status == 202)
        let twice = try await bench.create(["networks": fixed])
        #expect(twice.status == 400)
        #expect(twice["badRequest", "message"] == "Fixed IP address 10.0.9.9 is already in use.")
        #expect(try await bench.create(["networks": fixed, "min_count": 2]).status == 400)
        let id = try #require(NetworkID(bench.networkID))
        let port = try await bench.networks.create(
            PortDraft(id: bench.ids.next(), networkID: id, projectID: Person.annsProject, createdAt: bench.clock.now()))
        let ports: JSONValue = [["port": .string(port.id.description)]]
        #expect(try await bench.create(["networks": ports], as: .bob).status == 400)
        #expect(try await bench.create(["networks": ports]).status == 202)
        #expect(try await bench.create(["networks": ports]).status == 409)
    }

    @Test func severalNetworksToChooseFromAreAmbiguous() async throws {
        let bench = try await ComputeBench()
        for number in 1...2 {
            let network = try await bench.networks.insert(
                Network(
                    id: bench.ids.next(), projectID: Person.annsProject, name: "n\(number)",
                    createdAt: bench.clock.now()))
            let prefix = try #require(IPv4Prefix("10.\(number).0.0/24"))
            _ = try await bench.networks.insert(
                Subnet(
                    id: bench.ids.next(), networkID: network.id, projectID: Person.annsProject, name: "s",
                    prefix: prefix, gateway: nil, createdAt: bench.clock.now()))
        }
        let answer = try await bench.create()
        #expect(answer.status == 409)
        #expect(answer["conflictingRequest", "code"] == 409)
    }

    @Test(arguments: [
        ("queued", 0, 0, Int64(1)), ("active", 4096, 0, 1), ("active", 0, 2, 1), ("active", 0, 0, 2 << 30),
    ])
    func theImageMustFit(status: String, memory: Int, disk: Int, size: Int64) async throws {
        let bench = try await ComputeBench()
        let id = "33333333-3333-4333-8333-333333333333"
        bench.images.add(
            BootableImage(
                id: try #require(ImageID(id)), name: "big", status: status, minimumDiskGiB: disk,
                minimumMemoryMiB: memory, sizeBytes: size, sha512: "", diskFormat: "raw"))
        #expect(try await bench.create(["imageRef": .string(id)]).status == 400)
    }

    @Test func imagesOfOthersAreNotFound() async throws {
        let bench = try await ComputeBench()
        let id = "33333333-3333-4333-8333-333333333333"
        bench.images.add(
            BootableImage(
                id: try #require(ImageID(id)), name: "bob's", status: "active", sizeBytes: 1, sha512: "",
                diskFormat: "raw"), owner: Person.bobsProject)
        #expect(try await bench.create(["imageRef": .string(id)]).status == 400)
        #expect(try await bench.create(["imageRef": .string(id)], as: .bob).status == 202)
    }

    @Test func hintsTagsAndNamesAreKept() async throws {
        let bench = try await ComputeBench()
        let answer = try await bench.api.post(
            bench.path("servers"),
            ComputeBench.order(
                [
                    "name": "Grüße an_Web 1", "tags": ["b", "a", "b"], "description": "d", "config_drive": "false",
                    "availability_zone": "north", "user_data": "IyE=", "accessIPv6": "2001:db8::1",
                ], beside: ["os:scheduler_hints": ["query": "x"]]), version: 100)
        #expect(answer.status == 202)
        let instance = try #require(bench.cloud.lastAccepted?.build.instance)
        #expect(instance.hostname == "gre-an-web-1")
        #expect(instance.tags == ["b", "a"])
        #expect(instance.pinnedAvailabilityZone == "north")
        #expect(instance.isConfigDriveWanted == false)
        let id = try #require(answer["server", "id"]?.string)
        let shown = try await bench.api.get(bench.path("servers/\(id)"), version: 100)
        #expect(shown["server", "scheduler_hints"] == ["query": "x"])
        #expect(shown["server", "config_drive"] == "")
        #expect(shown["server", "accessIPv6"] == "2001:db8::1")
    }
}

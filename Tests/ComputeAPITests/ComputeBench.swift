import APITestSupport
import CellProtocol
import CloudModel
import ComputeAPI
import Foundation
import Primitives
import Testing

/// The compute service over memory: two cells with a host each, a shared network, two flavors, an image.
struct ComputeBench {
    static let base = "/compute/v2.1"
    static let imageID = "11111111-1111-4111-8111-111111111111"

    let ids = CountingIDs()
    let clock = ManualWallClock()
    let networks: InMemoryNetworkStore
    let cloud: InMemoryCloud
    let images = FixedImages()
    let flavors: InMemoryFlavorStore
    let actions = InMemoryInstanceActionStore()
    let service: ComputeService
    let api: APIConversation
    let networkID: String

    init() async throws {
        let clock = clock
        networks = InMemoryNetworkStore(ids: ids)
        cloud = InMemoryCloud(networks: networks, now: { clock.now() })
        flavors = InMemoryFlavorStore([
            FlavorRecord(
                flavor: Flavor(id: "1", name: "m1.tiny", vcpus: 1, memoryMiB: 512, diskGiB: 1), createdAt: clock.now()),
            FlavorRecord(
                flavor: Flavor(id: "2", name: "m1.small", vcpus: 2, memoryMiB: 2048, diskGiB: 20),
                createdAt: clock.now()),
        ])
        cloud.addHost("n1", in: InMemoryCloud.north, zone: "north", id: ids.next())
        cloud.addHost("s1", in: InMemoryCloud.south, zone: "south", id: ids.next())
        let network = try await networks.insert(
            Network(
                id: ids.next(), projectID: Person.rootsProject, name: "private", isShared: true, createdAt: clock.now())
        )
        let prefix = try #require(IPv4Prefix("10.0.0.0/16"))
        _ = try await networks.insert(
            Subnet(
                id: ids.next(), networkID: network.id, projectID: Person.rootsProject, name: "s", prefix: prefix,
                gateway: Subnet.standardGateway(prefix), createdAt: clock.now()))
        networkID = network.id.description
        images.add(
            BootableImage(
                id: try #require(ImageID(Self.imageID)), name: "guest", status: "active", sizeBytes: 1 << 20,
                virtualSizeBytes: 64 << 20, sha512: "00", diskFormat: "qcow2"))
        service = ComputeService(
            ComputeDependencies(
                directory: cloud, acceptance: cloud, cells: cloud, hosts: cloud, aggregates: cloud,
                serverGroups: cloud, flavors: flavors,
                keyPairs: InMemoryKeyPairStore(), quotas: InMemoryComputeQuotaStore(),
                actions: actions, networks: networks, images: images, tickets: images,
                tokens: PeopleTokens(), keyGenerator: Ed25519KeyGenerator(), ids: ids, wallClock: clock))
        api = APIConversation([service], ids: ids)
    }

    func path(_ rest: String) -> String { "\(Self.base)/\(rest)" }

    /// The body of `POST /servers` with what every version needs.
    static func order(_ changes: [String: JSONValue] = [:], beside: [String: JSONValue] = [:]) -> JSONValue {
        var server: [String: JSONValue] = [
            "name": "web", "imageRef": .string(imageID), "flavorRef": "1", "networks": "auto",
        ]
        server.merge(changes) { $1 }
        var body: [String: JSONValue] = ["server": .object(server)]
        body.merge(beside) { $1 }
        return .object(body)
    }

    func create(
        _ changes: [String: JSONValue] = [:], as person: Person = .ann, version: Int = 100
    ) async throws -> Answer {
        try await api.post(path("servers"), Self.order(changes), as: person, version: version)
    }

    /// A server that runs in `cell`.
    func active(
        _ changes: [String: JSONValue] = [:], in cell: CellPath = InMemoryCloud.north, as person: Person = .ann
    ) async throws -> String {
        let answer = try await create(changes, as: person)
        let id = try #require(answer["server", "id"]?.string)
        let host: HostName = cell == InMemoryCloud.north ? "n1" : "s1"
        cloud.activate(try #require(ServerID(id)), in: cell, host: host)
        return id
    }

    func act(_ id: String, _ body: JSONValue, as person: Person = .ann, version: Int = 100) async throws -> Answer {
        try await api.post(path("servers/\(id)/action"), body, as: person, version: version)
    }
}

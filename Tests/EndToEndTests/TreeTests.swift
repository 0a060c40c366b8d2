import CloudHarness
import CloudModel
import Deployer
import Foundation
import PostgresClient
import Primitives
import TestSupport
import Testing

/// A tree of depth four: the root, two regions, two zones each, two leaf cells each. Users notice nothing of it.
///
/// A cloud of its own, with one simulated host a leaf.
@Suite(.serialized, .enabled(if: TestCloud.missing == nil, "\(TestCloud.missing ?? "")"), .timeLimit(.minutes(15)))
struct TreeTests {
    private static let limit = Duration.seconds(60)
    private static let topology = URL(filePath: TestCloud.topology).deletingLastPathComponent()
        .appending(path: "dev-tree.yaml").path
    /// The leaves by their availability zones.
    private static let leaves = [
        "e1a": "/east/e1/a", "e1b": "/east/e1/b", "e2a": "/east/e2/a", "e2b": "/east/e2/b", "w1a": "/west/w1/a",
        "w1b": "/west/w1/b", "w2a": "/west/w2/a", "w2b": "/west/w2/b",
    ]

    private struct Cloud {
        let ready: DevReady
        let admin: CloudSession
        var compute: APIClient { admin.compute("2.69") }

        func servers() async throws -> [String: JSONValue] {
            let servers = try await compute.get("/servers/detail").list("servers")
            return try servers.reduce(into: [:]) { $0[try $1.text("id")] = $1 }
        }

        /// Waits until every one of `ids` has this status and no task.
        func wait(for ids: some Collection<String>, _ status: String) async throws {
            try await until("all are \(status)", within: TreeTests.limit) {
                let servers = try await servers()
                return ids.allSatisfy {
                    servers[$0]?["status"]?.string == status
                        && (status == "UNKNOWN" || servers[$0]?["OS-EXT-STS:task_state"] == .null)
                }
            }
        }
    }

    @Test func aTreeOfDepthFourIsOneCloud() async throws {
        let process = try await TestCloud.start(topology: Self.topology)
        do {
            let login = try CloudLogin(cloud: "cellwright-admin", file: process.ready.cloudsFile)
            let cloud = Cloud(ready: process.ready, admin: try await CloudSession.open(login))
            try await expectLives(cloud)
            try await expectPartialRecords(cloud)
            try await expectChildrenOnly(cloud)
        } catch {
            await process.end()
            throw error
        }
        await process.end()
    }

    /// Boot, show, list, stop, start and delete in every leaf.
    private func expectLives(_ cloud: Cloud) async throws {
        let image = try await TinyImage.create(in: cloud.admin, name: "tiny")
        let flavor = try await cloud.compute.get("/flavors").list("flavors").first?.text("id") ?? ""
        let network = try await cloud.admin.network.get("/networks").list("networks").first?.text("id") ?? ""
        var zones: [String: String] = [:]
        for zone in Self.leaves.keys.sorted() {
            let order: JSONValue = [
                "server": [
                    "name": .string("in-\(zone)"), "flavorRef": .string(flavor), "imageRef": .string(image),
                    "availability_zone": .string(zone), "networks": [["uuid": .string(network)]],
                ]
            ]
            zones[try await cloud.compute.expect(202, from: .post, "/servers", order).text("server.id")] = zone
        }
        try await cloud.wait(for: zones.keys, "ACTIVE")
        for (id, zone) in zones {
            let shown = try await cloud.compute.expect(200, from: .get, "/servers/\(id)")
            #expect(shown["server"]?["OS-EXT-AZ:availability_zone"]?.string == zone)
            #expect(shown["server"]?["OS-EXT-SRV-ATTR:host"]?.string == "\(zone)-1")
            try await cloud.compute.expect(202, from: .post, "/servers/\(id)/action", ["os-stop": .null])
        }
        try await cloud.wait(for: zones.keys, "SHUTOFF")
        for id in zones.keys {
            try await cloud.compute.expect(202, from: .post, "/servers/\(id)/action", ["os-start": .null])
        }
        try await cloud.wait(for: zones.keys, "ACTIVE")
        try await expectTree(cloud, zones)
        for (id, zone) in zones where zone != "e1a" && zone != "w2b" {
            try await cloud.compute.expect(204, from: .delete, "/servers/\(id)")
        }
        try await until("six are gone", within: Self.limit) { try await cloud.servers().count == 2 }
    }

    private func expectTree(_ cloud: Cloud, _ zones: [String: String]) async throws {
        let login = try CloudLogin(cloud: "cellwright-admin", file: cloud.ready.cloudsFile)
        let client = try await CellsClient.login(
            url: cloud.ready.url, user: login.user, password: Secret(login.password), project: login.project)
        // A cell whose database took its time a moment ago is called slow.
        var cells: [CellReport] = []
        try await until("every cell is up", within: Self.limit) {
            cells = try await client.cells()
            return cells.allSatisfy { $0.health.state == "up" }
        }
        #expect(cells.map(\.path) == cloud.ready.cells.map(\.path).filter { $0 != "/" }.sorted())
        for cell in cells {
            let below = Self.leaves.values.filter { $0 == cell.path || $0.hasPrefix(cell.path + "/") }
            #expect(cell.servers.total == below.count && cell.hosts.up == below.count, "\(cell.path)")
        }
        for cell in cells {
            #expect(cell.depth == cell.path.split(separator: "/").count)
            #expect(cell.kind == (Self.leaves.values.contains(cell.path) ? "leaf" : "branch"), "\(cell.path)")
        }
        for (id, zone) in zones {
            let server = try await client.server(id)
            #expect(server.cell == Self.leaves[zone])
            #expect(try await client.host(HostName(try #require(server.host))).cell == Self.leaves[zone])
        }
        await #expect(throws: CellsFailure.self) { try await client.forget(try #require(CellPath("/east"))) }
    }

    /// A dead leaf costs its own rows; a dead branch those of all leaves below it. Both come back by themselves.
    private func expectPartialRecords(_ cloud: Cloud) async throws {
        let servers = try await cloud.servers()
        let east = try #require(servers.first { $0.value["name"]?.string == "in-e1a" }?.key)
        let west = try #require(servers.first { $0.value["name"]?.string == "in-w2b" }?.key)
        for name in ["supervisor-east.e1.a", "supervisor-east"] {
            let hold = "\(cloud.ready.holdFolder)/\(name)"
            #expect(FileManager.default.createFile(atPath: hold, contents: nil))
            #expect(kill(try #require(try cloud.ready.pid(of: name)), SIGKILL) == 0)
            let begin = ContinuousClock.now
            try await cloud.wait(for: [east], "UNKNOWN")
            print("\(name) killed: partial records after \(ContinuousClock.now - begin)")
            try await cloud.wait(for: [west], "ACTIVE")
            let shown = try await cloud.compute.expect(200, from: .get, "/servers/\(east)")
            #expect(shown["server"]?["status"] == "UNKNOWN")
            try await cloud.compute.expect(503, from: .post, "/servers/\(east)/action", ["os-stop": .null])
            try FileManager.default.removeItem(atPath: hold)
            let mended = ContinuousClock.now
            try await cloud.wait(for: [east, west], "ACTIVE")
            print("\(name) started: current again after \(ContinuousClock.now - mended)")
        }
        for id in [east, west] { try await cloud.compute.expect(204, from: .delete, "/servers/\(id)") }
        try await until("nothing is left", within: Self.limit) { try await cloud.servers().isEmpty }
    }

    /// A parent has the credentials of its children alone, and nobody has those of a parent.
    private func expectChildrenOnly(_ cloud: Cloud) async throws {
        for cell in cloud.ready.cells {
            let prefix = cell.path == "/" ? "/" : cell.path + "/"
            let children = cloud.ready.cells.map(\.path).filter {
                $0 != "/" && $0.hasPrefix(prefix) && !$0.dropFirst(prefix.count).contains("/")
            }
            guard !children.isEmpty else { continue }
            let pool = PostgresPool(
                PostgresConfiguration(
                    host: cloud.ready.database.host, port: cloud.ready.database.port, database: cell.resource,
                    user: cloud.ready.database.user,
                    password: .fixed(Secret(try SharedCloud.text(cloud.ready.database.passwordFile))),
                    applicationName: "end-to-end test", maximumConnections: 1))
            let rows = try await pool.query(
                """
                select path, bus ->> 'user' as account, bus ->> 'vhost' as vhost from directory.cells
                where bus is not null order by path
                """)
            await pool.close()
            #expect(try rows.map { try $0.get("path", as: String.self) } == children.sorted())
            #expect(try rows.map { try $0.get("vhost", as: String.self) } == children.sorted().map(Self.resource))
            #expect(
                try rows.map { try $0.get("account", as: String.self) }
                    == children.sorted().map { "parent." + Self.slug($0) })
        }
        for process in cloud.ready.processes where process.name.hasPrefix("supervisor-") {
            let path = try #require(process.configuration)
            let own = "cellwright_" + process.name.dropFirst("supervisor-".count)
            let text = try SharedCloud.text(path)
            let names = text.matches(of: /cellwright_[a-z0-9.]+/).map { String($0.output) }
            #expect(Set(names) == [own])
        }
    }

    private static func slug(_ path: String) -> String { String(path.dropFirst().replacing("/", with: ".")) }
    private static func resource(_ path: String) -> String { "cellwright_" + slug(path) }
}

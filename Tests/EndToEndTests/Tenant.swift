import CloudHarness
import Deployer
import PostgresClient
import Primitives

/// A project of one test, with a user, a network and room for its servers.
struct Tenant: Sendable {
    /// A loaded machine takes its time.
    static let limit = Duration.seconds(60)

    let session: CloudSession
    let networkID: String
    let networkName: String
    let flavorID: String
    let imageID: String

    static func make(quota: Int = 50) async throws -> Tenant {
        let admin = try await SharedCloud.admin()
        let name = SharedCloud.name("tenant")
        let project = try await admin.identity.expect(
            201, from: .post, "/projects", ["project": ["name": .string(name)]])
        let user = try await admin.identity.expect(
            201, from: .post, "/users",
            ["user": ["name": .string(name), "password": "a password of this test"]])
        let roles = try await admin.identity.get("/roles?name=member").list("roles")
        guard let role = try roles.first?.text("id") else {
            throw MissingMember(path: "member", document: .array(roles))
        }
        try await admin.identity.expect(
            204, from: .put,
            "/projects/\(try project.text("project.id"))/users/\(try user.text("user.id"))/roles/\(role)")
        try await admin.compute.expect(
            200, from: .put, "/os-quota-sets/\(try project.text("project.id"))",
            [
                "quota_set": [
                    "instances": JSONValue(quota), "cores": JSONValue(quota), "ram": JSONValue(quota * 1024),
                ]
            ])
        let session = try await CloudSession.open(
            CloudLogin(
                authURL: try await SharedCloud.ready().authURL, user: name, password: "a password of this test",
                project: name))
        let network = try await session.network.expect(
            201, from: .post, "/networks", ["network": ["name": .string(name)]])
        let networkID = try network.text("network.id")
        try await session.network.expect(
            201, from: .post, "/subnets",
            [
                "subnet": [
                    "network_id": .string(networkID), "ip_version": 4, "cidr": "10.99.0.0/24",
                    "name": .string("\(name)-subnet"),
                ]
            ])
        let flavors = try await session.compute.get("/flavors").list("flavors")
        guard let flavor = flavors.first(where: { $0["name"]?.string == "m1.nano" }) else {
            throw MissingMember(path: "m1.nano", document: .array(flavors))
        }
        return Tenant(
            session: session, networkID: networkID, networkName: name, flavorID: try flavor.text("id"),
            imageID: try await SharedCloud.publicImage())
    }

    /// The body that orders servers. `extra` replaces and adds members.
    func order(_ name: String, _ extra: [String: JSONValue] = [:]) -> JSONValue {
        var server: [String: JSONValue] = [
            "name": .string(name), "flavorRef": .string(flavorID), "imageRef": .string(imageID),
            "networks": [["uuid": .string(networkID)]],
        ]
        server.merge(extra) { _, new in new }
        return ["server": .object(server)]
    }

    func create(_ name: String, _ extra: [String: JSONValue] = [:]) async throws -> String {
        try await session.compute.expect(202, from: .post, "/servers", order(name, extra)).text("server.id")
    }

    /// The tenant's servers as the API lists them.
    func servers() async throws -> [JSONValue] { try await session.compute.get("/servers/detail").list("servers") }

    func show(_ id: String) async throws -> JSONValue {
        try await session.compute.expect(200, from: .get, "/servers/\(id)")["server"] ?? .null
    }

    func act(_ id: String, _ action: JSONValue, _ status: Int = 202) async throws -> JSONValue {
        try await session.compute.expect(status, from: .post, "/servers/\(id)/action", action)
    }

    @discardableResult
    func wait(for id: String, _ status: String) async throws -> JSONValue {
        var server = JSONValue.null
        try await until("\(id) is \(status)") {
            server = try await show(id)
            guard let now = server["status"]?.string else { return false }
            if now == "ERROR", status != "ERROR" { throw MissingMember(path: status, document: server) }
            return now == status && server["OS-EXT-STS:task_state"] == .null
        }
        return server
    }

    /// Waits until all of the tenant's servers, `count` of them, are ACTIVE.
    @discardableResult
    func waitForAll(_ count: Int, within limit: Duration = limit) async throws -> [JSONValue] {
        var list: [JSONValue] = []
        try await until("\(count) servers are ACTIVE", within: limit) {
            list = try await servers()
            if let failed = list.first(where: { $0["status"]?.string == "ERROR" }) {
                throw MissingMember(path: "ACTIVE", document: failed)
            }
            return list.count == count && list.allSatisfy { $0["status"]?.string == "ACTIVE" }
        }
        return list
    }

    /// Deletes servers and waits until the API knows nothing of them.
    func delete(_ ids: [String]) async throws {
        for id in ids { try await session.compute.expect(204, from: .delete, "/servers/\(id)") }
        try await until("\(ids.count) servers are gone") {
            let left = try await servers().compactMap { $0["id"]?.string }
            return Set(left).isDisjoint(with: ids)
        }
        for id in ids { try await session.compute.expect(404, from: .get, "/servers/\(id)") }
    }
}

/// Waits until a condition holds, looking twenty times a second.
func until(
    _ what: String, within limit: Duration = Tenant.limit, _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        guard ContinuousClock.now < end else { throw HarnessFailure("waited \(limit) until \(what)") }
        try await Task.sleep(for: .milliseconds(50))
    }
}

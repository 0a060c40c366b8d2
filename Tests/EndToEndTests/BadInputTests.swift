import CloudHarness
import Deployer
import Foundation
import Primitives
import Testing

/// A request that must be refused, and how.
struct BadRequest: Sendable, CustomTestStringConvertible {
    let testDescription: String
    let status: Int
    let fault: String
    let message: String
    let body: @Sendable (Tenant) -> [UInt8]

    /// An order for a server with `members` replaced; JSON's null takes the member away.
    static func order(
        _ name: String, _ members: [String: JSONValue], _ message: String, status: Int = 400,
        fault: String = "badRequest"
    ) -> BadRequest {
        BadRequest(testDescription: name, status: status, fault: fault, message: message) { tenant in
            guard case .object(var server)? = tenant.order("bad", members)["server"] else { return [] }
            for (key, value) in members where value == .null { server[key] = nil }
            return Array(JSONValue.object(["server": .object(server)]).text.utf8)
        }
    }

    static func text(_ name: String, _ text: String, _ message: String, status: Int = 400, fault: String = "badRequest")
        -> BadRequest
    {
        BadRequest(testDescription: name, status: status, fault: fault, message: message) { _ in Array(text.utf8) }
    }

    private static let unknownID = "11111111-2222-4333-8444-555555555555"

    static let all: [BadRequest] = [
        .order("unknown flavor", ["flavorRef": "no-such-flavor"], "Flavor no-such-flavor could not be found"),
        .order("unknown image", ["imageRef": .string(unknownID)], "Can not find requested image"),
        .order("image that is no id", ["imageRef": "cirros"], "imageRef"),
        .order("no image", ["imageRef": .null], "Invalid imageRef provided"),
        .order("no name", ["name": .null], "'name' is a required property"),
        .order("empty name", ["name": ""], "name"),
        .order("name of 256 characters", ["name": .string(String(repeating: "n", count: 256))], "is too long"),
        .order("name that is a number", ["name": 7], "is not of type 'string'"),
        .order("flavor that is a list", ["flavorRef": []], "flavorRef"),
        .order("networks that are a number", ["networks": 1], "networks"),
        .order("count that is a word", ["min_count": "many"], "min_count"),
        .order("count of 0", ["min_count": 0], "min_count"),
        .order("more at least than at most", ["min_count": 3, "max_count": 2], "min_count must be <= max_count"),
        .order("metadata that is a list", ["metadata": []], "metadata"),
        .order("metadata value that is a number", ["metadata": ["a": 1]], "is not of type 'string'"),
        .order("unknown member", ["colour": "red"], "Additional properties are not allowed ('colour' was unexpected)"),
        .order("unknown key pair", ["key_name": "no-such-key"], "Invalid key_name provided"),
        .order("unknown zone", ["availability_zone": "west"], "The requested availability zone is not available"),
        .order("unknown network", ["networks": [["uuid": .string(unknownID)]]], "could not be found"),
        .order("unknown security group", ["security_groups": [["name": "none-such"]]], "none-such"),
        .order("user data that is no base 64", ["user_data": "***"], "valid base 64"),
        .order(
            "user data of 70,000 characters", ["user_data": .string(String(repeating: "A", count: 70_000))],
            "is too long"),
        .order(
            "host asked for by a user", ["availability_zone": "north:north-1"], "Policy", status: 403,
            fault: "forbidden"),
        .order("NUL in the name", ["name": "a\u{0}b"], "NUL"),
        .text("half a document", "{\"server\": {", "JSON"),
        .text("no document", "", "body"),
        .text("a list", "[]", "object"),
        .text("bytes that are no text", "\u{FFFD}", "JSON"),
        .text("a document nested deeply", String(repeating: "[", count: 100_000), "JSON"),
        .text("no server", "{}", "'server' is a required property"),
        .text("member beside the server", "{\"server\": {}, \"other\": 1}", "'other' was unexpected"),
        .text(
            "2 MiB", "{\"server\": {\"name\": \"" + String(repeating: "x", count: 2 << 20) + "\"}}", "too large",
            status: 413, fault: "overLimit"),
    ]
}

extension EndToEndTests {
    @Suite struct BadInputTests {
        private static let tenant = SharedTenant()

        /// One project for all of them: nothing is ever accepted in it.
        private actor SharedTenant {
            private var made: Tenant?

            func get() async throws -> Tenant {
                if let made { return made }
                let tenant = try await Tenant.make()
                made = tenant
                return tenant
            }
        }

        @Test(arguments: BadRequest.all) func anOrderIsRefusedAndNothingIsKept(_ request: BadRequest) async throws {
            let tenant = try await Self.tenant.get()
            let answer = try await tenant.session.compute.send(
                .post, "/servers", bytes: request.body(tenant), type: "application/json")
            #expect(answer.status == request.status, "\(answer.text)")
            let fault = try #require(try answer.json()[request.fault], "\(answer.text)")
            #expect(try fault.integer("code") == request.status)
            let message = try fault.text("message")
            #expect(message.contains(request.message), "\(message)")
            // Whatever was sent is repeated only in part.
            #expect(message.utf8.count < 1000)
            #expect(answer.header("x-openstack-request-id")?.hasPrefix("req-") == true)
            #expect(try await tenant.servers().isEmpty)
            let ports = try await tenant.session.network.get("/ports").list("ports")
            #expect(ports.isEmpty)
        }

        @Test(
            arguments: [
                ["os-no-such-action": .null], ["reboot": [:]], ["reboot": ["type": "WARM"]],
                ["reboot": ["type": "SOFT", "extra": 1]], ["os-getConsoleOutput": ["length": "x"]],
                ["os-stop": .null, "os-start": .null], [:],
            ] as [JSONValue]) func anActionIsRefusedAndTheServerStaysAsItIs(
                _ action: JSONValue
            ) async throws
        {
            let tenant = try await Tenant.make()
            let id = try await tenant.create("steady")
            let before = try await tenant.wait(for: id, "ACTIVE")
            let answer = try await tenant.act(id, action, 400)
            #expect(try answer.integer("badRequest.code") == 400)
            #expect(try await tenant.show(id) == before)
            try await tenant.delete([id])
        }

        @Test(arguments: [nil, "", "nonsense", "gAAAAABk", String(repeating: "t", count: 5_000)])
        func aTokenThatIsNoneIsRefusedByEveryService(_ token: String?) async throws {
            let session = try await Self.tenant.get().session
            for (client, path) in [
                (session.compute, "/servers"), (session.network, "/networks"), (session.image, "/images"),
                (session.identity, "/auth/projects"),
            ] {
                var client = client
                client.headers["x-auth-token"] = token
                let answer = try await client.send(.get, path)
                #expect(answer.status == 401, "\(client.url): \(answer.text)")
                #expect(answer.header("www-authenticate")?.hasPrefix("Keystone uri=") == true, "\(client.url)")
            }
        }

        @Test func aTokenThatWasChangedIsRefused() async throws {
            let session = try await Self.tenant.get().session
            for index in [0, session.token.count / 2, session.token.count - 2] {
                var characters = Array(session.token)
                characters[index] = characters[index] == "x" ? "y" : "x"
                let answer = try await session.compute.with("x-auth-token", String(characters)).send(.get, "/servers")
                #expect(answer.status == 401)
            }
        }

        @Test func aWrongPasswordTellsNothing() async throws {
            let ready = try await SharedCloud.ready()
            var login = try CloudLogin(cloud: "cellwright", file: ready.cloudsFile)
            let client = APIClient(url: login.authURL)
            login.password += "x"
            let wrong = try await client.send(.post, "/auth/tokens", login.request)
            login.user = "nobody-of-that-name"
            let unknown = try await client.send(.post, "/auth/tokens", login.request)
            #expect(wrong.status == 401 && unknown.status == 401)
            #expect(wrong.text == unknown.text)
        }

        @Test(arguments: [
            ("2.999", 406, "computeFault"), ("1.0", 406, "computeFault"), ("two", 400, "badRequest"),
        ]) func aMicroversionThatIsNoneIsRefused(_ version: String, _ status: Int, _ fault: String) async throws {
            let session = try await Self.tenant.get().session
            let answer = try await session.compute(version).send(.get, "/servers")
            #expect(answer.status == status, "\(answer.text)")
            #expect(try answer.json()[fault] != nil, "\(answer.text)")
        }

        @Test func whatIsNotThereIsNotFound() async throws {
            let session = try await Self.tenant.get().session
            for path in ["/servers/no-id", "/servers/11111111-2222-4333-8444-555555555555", "/flavors/none"] {
                let answer = try await session.compute.send(.get, path)
                #expect(answer.status == 404)
                #expect(try answer.json().integer("itemNotFound.code") == 404)
            }
            let text = try await session.compute.send(
                .post, "/servers", bytes: Array("name=x".utf8), type: "application/x-www-form-urlencoded")
            #expect(text.status == 415, "\(text.text)")
            for query in ["limit=-1", "limit=x", "marker=none", "sort_key=secret", "name=(", "changes-since=today"] {
                let answer = try await session.compute.send(.get, "/servers?\(query)")
                #expect(answer.status == 400, "\(query): \(answer.status) \(answer.text)")
            }
        }

        @Test func networksAndImagesRefuseNonsenseToo() async throws {
            let session = try await Self.tenant.get().session
            let cases: [(APIClient, String, JSONValue)] = [
                (session.network, "/networks", ["network": ["name": 1]]),
                (session.network, "/networks", ["network": ["colour": "red"]]),
                (session.network, "/networks", []),
                (session.network, "/subnets", ["subnet": ["network_id": "x", "cidr": "10.0.0.0/24", "ip_version": 4]]),
                (session.network, "/ports", ["port": [:]]),
                (session.image, "/images", ["disk_format": 1]),
                (session.image, "/images", ["disk_format": "floppy", "container_format": "bare"]),
                (session.image, "/images", []),
            ]
            for (client, path, body) in cases {
                let answer = try await client.send(.post, path, body)
                #expect([400, 404].contains(answer.status), "\(path) \(body.text): \(answer.status) \(answer.text)")
            }
            #expect(try await session.image.get("/images?owner=\(session.projectID)").list("images").isEmpty)
        }
    }
}

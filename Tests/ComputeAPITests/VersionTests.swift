import APITestSupport
import HTTPTypes
import Primitives
import Testing

@Suite struct VersionTests {
    @Test(arguments: ["/compute", "/compute/"])
    func theRootListsVersionsWithoutAToken(path: String) async throws {
        let answer = try await ComputeBench().api.get(path, as: nil)
        #expect(answer.status == 200)
        #expect(answer["versions", "0", "id"] == "v2.1")
        #expect(answer["versions", "0", "version"] == "2.104")
        #expect(answer["versions", "0", "links", "0", "href"] == "http://cloud/compute/v2.1/")
    }

    @Test(arguments: ["/compute/v2.1", "/compute/v2.1/"])
    func aVersionSaysItsRange(path: String) async throws {
        let answer = try await ComputeBench().api.get(path, as: nil)
        #expect(answer.status == 200)
        #expect(answer["version", "min_version"] == "2.1")
        #expect(answer["version", "version"] == "2.104")
        #expect(answer["version", "status"] == "CURRENT")
    }

    @Test(
        arguments: [
            (nil, nil, "2.1"), ("compute 2.53", nil, "2.53"), ("compute latest", nil, "2.104"), (nil, "2.10", "2.10"),
            (nil, "latest", "2.104"), ("compute 2.53", "2.10", "2.53"), ("volume 3.0, compute 2.60", nil, "2.60"),
            ("placement 1.39", nil, "2.1"), ("Compute 2.5", nil, "2.5"),
        ] as [(String?, String?, String)])
    func theVersionIsNegotiated(new: String?, old: String?, expected: String) async throws {
        let answer = try await ask(new, old)
        #expect(answer.status == 200)
        #expect(answer.headers[try name("OpenStack-API-Version")] == "compute \(expected)")
        #expect(answer.headers[try name("X-OpenStack-Nova-API-Version")] == expected)
        let vary = answer.headers[.vary] ?? ""
        #expect(vary.contains("OpenStack-API-Version") && vary.contains("X-OpenStack-Nova-API-Version"))
    }

    @Test(arguments: [
        ("compute 2.105", 406, "computeFault"), ("compute 3.1", 406, "computeFault"),
        ("compute 2.0", 406, "computeFault"), ("compute 2", 400, "badRequest"), ("compute 2.x", 400, "badRequest"),
        ("compute 2.01", 400, "badRequest"), ("compute 2.1.1", 400, "badRequest"),
        ("compute 99999999999999999999.1", 400, "badRequest"),
    ])
    func otherVersionsAreRefused(header: String, status: Int, fault: String) async throws {
        let answer = try await ask(header, nil)
        #expect(answer.status == status)
        #expect(answer[fault, "code"] == JSONValue.integer(Int64(status)))
        #expect(answer.headers[try name("OpenStack-API-Version")] == "compute 2.1")
    }

    @Test func errorsCarryTheVersionToo() async throws {
        let bench = try await ComputeBench()
        let answer = try await bench.api.get(bench.path("servers/nothing"), version: 60)
        #expect(answer.status == 404)
        #expect(answer.headers[try name("OpenStack-API-Version")] == "compute 2.60")
        #expect(answer.headers[try name("X-Compute-Request-Id")]?.hasPrefix("req-") == true)
    }

    @Test func aProjectInThePathMustBeTheTokens() async throws {
        let bench = try await ComputeBench()
        let own = try await bench.api.get(bench.path("\(Person.annsProject)/flavors"))
        #expect(own.status == 200)
        #expect(
            own["flavors", "0", "links", "0", "href"]?.string
                == "http://cloud/compute/v2.1/\(Person.annsProject)/flavors/1")
        #expect(try await bench.api.get(bench.path("\(Person.bobsProject)/flavors")).status == 400)
        #expect(try await bench.api.get(bench.path("nonsense/flavors")).status == 404)
    }

    @Test func tokensAreNeededAndJudged() async throws {
        let bench = try await ComputeBench()
        #expect(try await bench.api.get(bench.path("servers"), as: nil).status == 401)
        let forged = try await bench.api.send(
            .get, bench.path("servers"), nil as JSONValue?, as: nil,
            headers: [try name("X-Auth-Token"): "forged"])
        #expect(forged.status == 401)
        #expect(try await bench.api.get(bench.path("servers"), as: .nomad).status == 403)
    }

    @Test func whatIsGoneUnknownOrOfAnotherVersionIsRefused() async throws {
        let bench = try await ComputeBench()
        #expect(try await bench.api.get(bench.path("os-cells")).status == 410)
        #expect(try await bench.api.get(bench.path("os-certificates/1"), version: 104).status == 410)
        #expect(try await bench.api.get(bench.path("os-no-such-thing")).status == 404)
        #expect(try await bench.api.get(bench.path("os-hosts"), as: .root, version: 43).status == 404)
        #expect(try await bench.api.put(bench.path("flavors/1"), .object([:]), as: .root, version: 54).status == 404)
        let wrong = try await bench.api.send(.put, bench.path("servers"), .object([:]))
        #expect(wrong.status == 405)
        #expect(wrong["badMethod", "code"] == 405)
    }

    private func name(_ text: String) throws -> HTTPField.Name { try #require(HTTPField.Name(text)) }

    private func ask(_ new: String?, _ old: String?) async throws -> Answer {
        let bench = try await ComputeBench()
        var headers = HTTPFields()
        if let new { headers[try name("OpenStack-API-Version")] = new }
        if let old { headers[try name("X-OpenStack-Nova-API-Version")] = old }
        return try await bench.api.send(.get, bench.path("flavors"), nil as JSONValue?, headers: headers)
    }
}

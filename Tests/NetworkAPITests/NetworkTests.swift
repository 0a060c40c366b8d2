import APITestSupport
import CloudModel
import HTTPTypes
import Primitives
import Testing

@Suite struct NetworkTests {
    @Test func theVersionDocumentNeedsNoToken() async throws {
        let answer = try await NetworkBench().api.get("/network", as: nil)
        #expect(answer.status == 200)
        #expect(answer["versions", "0", "id"] == "v2.0")
        #expect(answer["versions", "0", "links", "0", "href"] == "http://cloud/network/v2.0/")
    }

    @Test func everythingElseNeedsAToken() async throws {
        let bench = NetworkBench()
        for path in ["networks", "ports", "extensions", "security-groups"] {
            #expect(try await bench.api.get(bench.path(path), as: nil).status == 401)
            #expect(try await bench.api.get(bench.path(path), as: .nomad).status == 403)
        }
    }

    @Test func aNetworkIsMadeShownChangedAndDeleted() async throws {
        let bench = NetworkBench()
        let made = try await bench.api.post(
            bench.path("networks"), ["network": ["name": "private", "admin_state_up": true, "mtu": 1400]])
        #expect(made.status == 201)
        #expect(made["network", "mtu"] == 1400)
        #expect(made["network", "status"] == "ACTIVE")
        #expect(made["network", "shared"] == false)
        #expect(made["network", "project_id"]?.string == Person.annsProject.text)
        let id = try #require(made["network", "id"]?.string)
        let subnet = try await bench.subnet("10.0.0.0/24", on: id)
        #expect(try await bench.api.get(bench.path("networks/\(id)"))["network", "subnets"] == [.string(subnet)])
        let changed = try await bench.api.put(bench.path("networks/\(id)"), ["network": ["name": "renamed"]])
        #expect(changed["network", "name"] == "renamed")
        #expect(changed["network", "revision_number"] == 1)
        #expect(try await bench.api.delete(bench.path("networks/\(id)")).status == 204)
        #expect(try await bench.api.get(bench.path("networks/\(id)")).status == 404)
        #expect(try await bench.api.get(bench.path("subnets/\(subnet)")).status == 404)
    }

    @Test func othersSeeOnlyWhatIsShared() async throws {
        let bench = NetworkBench()
        let own = try await bench.network("private")
        let shared = try await bench.network("shared", shared: true, as: .root)
        #expect(try await bench.api.get(bench.path("networks")).names("networks").sorted() == ["private", "shared"])
        #expect(try await bench.api.get(bench.path("networks"), as: .bob).names("networks") == ["shared"])
        #expect(try await bench.api.get(bench.path("networks/\(own)"), as: .bob).status == 404)
        #expect(try await bench.api.get(bench.path("networks/\(shared)"), as: .bob).status == 200)
        #expect(try await bench.api.delete(bench.path("networks/\(shared)"), as: .bob).status == 403)
        #expect(try await bench.api.delete(bench.path("networks/\(own)"), as: .root).status == 204)
    }

    @Test func readersChangeNothingAndOnlyAdministratorsShare() async throws {
        let bench = NetworkBench()
        let body: JSONValue = ["network": ["name": "x"]]
        #expect(try await bench.api.post(bench.path("networks"), body, as: .rita).status == 403)
        let shared: JSONValue = ["network": ["name": "x", "shared": true]]
        let refusal = try await bench.api.post(bench.path("networks"), shared)
        #expect(refusal.status == 403)
        #expect(refusal["NeutronError", "type"] == "PolicyNotAuthorized")
    }

    @Test func listsAreFilteredSortedCutAndReduced() async throws {
        let bench = NetworkBench()
        for name in ["c", "a", "b", "d"] { _ = try await bench.network(name) }
        let api = bench.api
        #expect(try await api.get(bench.path("networks?name=b&name=d&sort_key=name")).names("networks") == ["b", "d"])
        #expect(try await api.get(bench.path("networks?admin_state_up=False")).names("networks").isEmpty)
        #expect(try await api.get(bench.path("networks?no_such_thing=1")).names("networks").count == 4)
        let first = try await api.get(bench.path("networks?sort_key=name&sort_dir=desc&limit=3"))
        #expect(first.names("networks") == ["d", "c", "b"])
        let link = try #require(first["networks_links", "0", "href"]?.string)
        #expect(link.hasPrefix("http://cloud/network/v2.0/networks?"))
        let second = try await api.get(String(link.dropFirst("http://cloud".count)))
        #expect(second.names("networks") == ["a"])
        #expect(second["networks_links", "0", "rel"] == "previous")
        let fields = try await api.get(bench.path("networks?fields=name&name=a"))
        #expect(fields["networks", "0"] == ["name": "a"])
    }

    @Test(arguments: ["private", "0", "%00", "../x", "00000000-0000-0000-0000-000000000000"])
    func whatIsNoNetworkIsNotFound(id: String) async throws {
        let bench = NetworkBench()
        _ = try await bench.network("private")
        let answer = try await bench.api.get(bench.path("networks/\(id)"))
        #expect(answer.status == 404)
        #expect(answer["NeutronError"] != nil)
    }

    @Test(
        arguments: [
            #"{"network": {"name": 5}}"#, #"{"network": {"nmae": "x"}}"#, #"{"network": {"mtu": 10}}"#,
            #"{"network": []}"#, #"{"networks": {}}"#, #"{}"#, #"[]"#, #"{"network": {"name": "x"}"#, "nonsense", "",
            #"{"network": {"name": "\u0000"}}"#, #"{"network": {"admin_state_up": "perhaps"}}"#,
            #"{"network": {"provider:network_type": "vlan"}}"#, #"{"network": {"name": "x"}, "more": 1}"#,
            "{\"network\": {\"name\": \"\(String(repeating: "x", count: 256))\"}}",
        ])
    func badBodiesAreExplained(body: String) async throws {
        let bench = NetworkBench()
        let answer = try await bench.api.send(.post, bench.path("networks"), text: body)
        #expect(answer.status == 400)
        #expect(answer["NeutronError", "message"]?.string?.isEmpty == false)
        #expect(try await bench.api.get(bench.path("networks")).names("networks").isEmpty)
    }

    @Test func oversizedBodiesAndOtherMediaTypesAreRefused() async throws {
        let bench = NetworkBench()
        let long = "{\"network\": {\"name\": \"\(String(repeating: "x", count: 200_000))\"}}"
        #expect(try await bench.api.send(.post, bench.path("networks"), text: long).status == 413)
        let answer = try await bench.api.send(
            .post, bench.path("networks"), text: "<network/>", headers: [.contentType: "application/xml"])
        #expect(answer.status == 415)
    }

    @Test func unknownMethodsAndPathsAreRefused() async throws {
        let bench = NetworkBench()
        let answer = try await bench.api.send(.patch, bench.path("networks"), .object([:]))
        #expect(answer.status == 405)
        #expect(answer.headers[.allow]?.contains("POST") == true)
        #expect(try await bench.api.get(bench.path("no-such-things")).status == 404)
    }

    @Test func clientsFindTheExtensionsTheyAskFor() async throws {
        let bench = NetworkBench()
        let answer = try await bench.api.get(bench.path("extensions"))
        #expect(answer.names("extensions", "alias").contains("quota_details"))
        #expect(try await bench.api.get(bench.path("extensions/security-group")).status == 200)
        #expect(try await bench.api.get(bench.path("extensions/Availability%20Zone")).status == 404)
        for path in ["floatingips", "routers", "availability_zones"] {
            #expect(try await bench.api.get(bench.path(path)).json[path] == [])
        }
        #expect(try await bench.api.get(bench.path("floatingips?port_id=x&project_id=y")).status == 200)
        #expect(try await bench.api.get(bench.path("agents"), as: .root).json["agents"] == [])
        #expect(try await bench.api.get(bench.path("agents")).status == 403)
    }
}

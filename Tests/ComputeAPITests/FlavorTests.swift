import APITestSupport
import CloudModel
import Primitives
import Testing

@Suite struct FlavorTests {
    @Test func flavorsAreListedAndShown() async throws {
        let bench = try await ComputeBench()
        let list = try await bench.api.get(bench.path("flavors"))
        #expect(list.names("flavors") == ["m1.tiny", "m1.small"])
        #expect(list["flavors", "0", "ram"] == nil)
        let detail = try await bench.api.get(bench.path("flavors/detail"))
        #expect(detail["flavors", "1", "ram"] == 2048)
        #expect(detail["flavors", "0", "swap"] == "")
        let one = try await bench.api.get(bench.path("flavors/2"), version: 61)
        #expect(one["flavor", "extra_specs"] == .object([:]))
        #expect(one["flavor", "description"] == .null)
        #expect(one["flavor", "OS-FLV-DISABLED:disabled"] == false)
    }

    @Test(arguments: [(54, false, false), (55, true, false), (60, true, false), (61, true, true), (104, true, true)])
    func flavorsGrowWithTheVersion(minor: Int, hasDescription: Bool, hasSpecs: Bool) async throws {
        let bench = try await ComputeBench()
        let flavor = try #require(try await bench.api.get(bench.path("flavors/1"), version: minor)["flavor"])
        #expect((flavor["description"] != nil) == hasDescription)
        #expect((flavor["extra_specs"] != nil) == hasSpecs)
        #expect((flavor["rxtx_factor"] != nil) == (minor < 102))
        #expect(flavor["swap"] == (minor < 75 ? "" : 0))
    }

    @Test func namesAreNotIdsSoClientsSearchThem() async throws {
        let bench = try await ComputeBench()
        #expect(try await bench.api.get(bench.path("flavors/m1.tiny"), version: 61).status == 404)
        let all = try await bench.api.get(bench.path("flavors/detail?is_public=None"), version: 61)
        #expect(all.names("flavors") == ["m1.tiny", "m1.small"])
        #expect(
            try await bench.api.get(bench.path("flavors?name=m1.tiny"), version: 102).names("flavors") == ["m1.tiny"])
    }

    @Test func listsAreSortedFilteredAndCut() async throws {
        let bench = try await ComputeBench()
        let api = bench.api
        #expect(
            try await api.get(bench.path("flavors?sort_key=memory_mb&sort_dir=desc")).names("flavors")
                == ["m1.small", "m1.tiny"])
        #expect(try await api.get(bench.path("flavors?minRam=1000")).names("flavors") == ["m1.small"])
        #expect(try await api.get(bench.path("flavors?minDisk=100")).names("flavors").isEmpty)
        let first = try await api.get(bench.path("flavors?limit=1"))
        #expect(first.names("flavors") == ["m1.tiny"])
        #expect(first["flavors_links", "0", "href"] == "http://cloud/compute/v2.1/flavors?limit=1&marker=1")
        let second = try await api.get(bench.path("flavors?limit=1&marker=1"))
        #expect(second.names("flavors") == ["m1.small"])
        #expect(second["flavors_links"] == nil)
    }

    @Test(arguments: [
        ("minRam=x", 1), ("sort_key=colour", 1), ("sort_dir=up", 1), ("limit=-1", 1), ("limit=x", 1), ("marker=9", 1),
        ("is_public=perhaps", 1), ("what=1", 75), ("%zz", 1),
    ])
    func badQueriesAreExplained(query: String, minor: Int) async throws {
        let bench = try await ComputeBench()
        #expect(try await bench.api.get(bench.path("flavors?\(query)"), version: minor).status == 400)
    }

    @Test func unknownParametersAreIgnoredBefore275() async throws {
        let bench = try await ComputeBench()
        #expect(try await bench.api.get(bench.path("flavors?what=1"), version: 74).status == 200)
    }

    @Test func administratorsMakeChangeAndDeleteFlavors() async throws {
        let bench = try await ComputeBench()
        let made = try await bench.api.post(
            bench.path("flavors"),
            ["flavor": ["name": "big", "ram": "4096", "vcpus": 4, "disk": 40, "id": "auto", "description": "d"]],
            as: .root, version: 61)
        #expect(made.status == 200)
        let id = try #require(made["flavor", "id"]?.string)
        #expect(id.count == 36)
        let changed = try await bench.api.put(
            bench.path("flavors/\(id)"), ["flavor": ["description": .null]], as: .root, version: 61)
        #expect(changed["flavor", "description"] == .null)
        #expect(try await bench.api.delete(bench.path("flavors/\(id)"), as: .root).status == 202)
        #expect(try await bench.api.delete(bench.path("flavors/\(id)"), as: .root).status == 404)
        #expect(try await bench.api.delete(bench.path("flavors/1")).status == 403)
    }

    @Test(
        arguments: [
            (["name": "m1.tiny"], 409), (["id": "1"], 409), (["ram": 0], 400), (["vcpus": "many"], 400),
            (["disk": -1], 400),
            (["name": ""], 400), (["name": " padded"], 400), (["id": "a/b"], 400), (["colour": "red"], 400),
            (["ram": .null], 400), (["rxtx_factor": -1], 400), (["os-flavor-access:is_public": "perhaps"], 400),
            (["description": "too early"], 400), (["ram": 4_294_967_296], 400),
        ] as [(JSONValue, Int)])
    func flavorsAreChecked(change: JSONValue, status: Int) async throws {
        let bench = try await ComputeBench()
        var members: [String: JSONValue] = ["name": "new", "ram": 1, "vcpus": 1, "disk": 0]
        members.merge(change.object ?? [:]) { $1 }
        let answer = try await bench.api.post(bench.path("flavors"), ["flavor": .object(members)], as: .root)
        #expect(answer.status == status)
    }

    @Test func extraSpecsComeAndGo() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("flavors/1/os-extra_specs")
        let made = try await bench.api.post(
            path, ["extra_specs": ["hw:cpu_policy": "shared", "n": 5]], as: .root)
        #expect(made["extra_specs"] == ["hw:cpu_policy": "shared", "n": "5"])
        #expect(try await bench.api.get(path, as: .rita)["extra_specs", "n"] == "5")
        #expect(try await bench.api.put("\(path)/n", ["n": "6"], as: .root)["n"] == "6")
        #expect(try await bench.api.put("\(path)/n", ["m": "6"], as: .root).status == 400)
        #expect(try await bench.api.get("\(path)/n")["n"] == "6")
        #expect(try await bench.api.delete("\(path)/n", as: .root).status == 200)
        #expect(try await bench.api.get("\(path)/n").status == 404)
        #expect(try await bench.api.post(path, ["extra_specs": ["a/b": "c"]], as: .root).status == 400)
        #expect(try await bench.api.post(path, ["extra_specs": ["a": []]], as: .root).status == 400)
        #expect(try await bench.api.post(path, ["extra_specs": ["a": "b"]]).status == 403)
    }

    @Test func privateFlavorsAreSeenByWhomTheyAreGivenTo() async throws {
        let bench = try await ComputeBench()
        let api = bench.api
        _ = try await api.post(
            bench.path("flavors"),
            [
                "flavor": [
                    "name": "secret", "id": "s", "ram": 1, "vcpus": 1, "disk": 0, "os-flavor-access:is_public": false,
                ]
            ], as: .root)
        #expect(try await api.get(bench.path("flavors/s")).status == 404)
        #expect(try await api.get(bench.path("flavors?is_public=None"), as: .root).names("flavors").contains("secret"))
        #expect(try await api.get(bench.path("flavors"), as: .root).names("flavors").contains("secret") == false)
        let grant: JSONValue = ["addTenantAccess": ["tenant": .string(Person.annsProject.text)]]
        let granted = try await api.post(bench.path("flavors/s/action"), grant, as: .root)
        #expect(granted["flavor_access", "0", "tenant_id"]?.string == Person.annsProject.text)
        #expect(try await api.post(bench.path("flavors/s/action"), grant, as: .root).status == 409)
        #expect(try await api.get(bench.path("flavors")).names("flavors").contains("secret"))
        #expect(try await api.get(bench.path("flavors"), as: .bob).names("flavors").contains("secret") == false)
        #expect(try await api.get(bench.path("flavors/s/os-flavor-access"), as: .root).status == 200)
        #expect(try await api.get(bench.path("flavors/1/os-flavor-access"), as: .root).status == 404)
        let revoke: JSONValue = ["removeTenantAccess": ["tenant": .string(Person.annsProject.text)]]
        #expect(try await api.post(bench.path("flavors/s/action"), revoke, as: .root).status == 200)
        #expect(try await api.post(bench.path("flavors/s/action"), revoke, as: .root).status == 404)
        #expect(try await api.post(bench.path("flavors/1/action"), grant, as: .root, version: 7).status == 409)
    }
}

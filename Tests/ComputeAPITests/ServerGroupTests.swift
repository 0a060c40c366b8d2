import APITestSupport
import CloudModel
import Primitives
import Testing

@Suite struct ServerGroupTests {
    @Test(arguments: ServerGroupContract.cases)
    func theStandInKeepsTheContract(of test: ServerGroupContract.Case) async throws {
        let clock = ManualWallClock()
        let cloud = InMemoryCloud(networks: InMemoryNetworkStore(ids: CountingIDs()), now: { clock.now() })
        try await test.run(cloud, cloud, cloud)
    }

    private func create(
        _ bench: ComputeBench, _ group: [String: JSONValue], as person: Person = .ann, version: Int = 64
    ) async throws -> Answer {
        try await bench.api.post(
            bench.path("os-server-groups"), ["server_group": .object(group)], as: person, version: version)
    }

    @Test func aGroupIsShownAsItsVersionWants() async throws {
        let bench = try await ComputeBench()
        let made = try await create(
            bench, ["name": "g", "policy": "anti-affinity", "rules": ["max_server_per_host": "2"]])
        #expect(made.status == 200)
        let id = try #require(made["server_group", "id"]?.string)
        let path = bench.path("os-server-groups/\(id)")
        #expect(made["server_group", "rules"] == ["max_server_per_host": 2])
        #expect(
            try await bench.api.get(path, version: 64)["server_group"]
                == [
                    "id": .string(id), "name": "g", "policy": "anti-affinity", "rules": ["max_server_per_host": 2],
                    "members": [], "project_id": .string(Person.annsProject.text),
                    "user_id": .string(Person.ann.userID.text),
                ])
        #expect(
            try await bench.api.get(path)["server_group"]
                == [
                    "id": .string(id), "name": "g", "policies": ["anti-affinity"], "metadata": [:], "members": [],
                ])
        #expect(try await bench.api.get(path, version: 13)["server_group", "project_id"] != nil)
        let old = try await create(bench, ["name": "old", "policies": ["affinity"]], version: 1)
        #expect(old["server_group", "policies"] == ["affinity"])
        let newer = try await create(bench, ["name": "soft", "policies": ["soft-affinity"]], version: 15)
        #expect(newer["server_group", "policies"] == ["soft-affinity"])
        let list = try await bench.api.get(bench.path("os-server-groups?limit=2&offset=1"), version: 75)
        #expect(list.names("server_groups") == ["old", "soft"])
        #expect(try await bench.api.delete(path).status == 204)
        #expect(try await bench.api.get(path).status == 404)
    }

    @Test func groupsOfOtherProjectsAreNotThere() async throws {
        let bench = try await ComputeBench()
        let made = try await create(bench, ["name": "g", "policy": "affinity"])
        let id = try #require(made["server_group", "id"]?.string)
        let list = bench.path("os-server-groups")
        #expect(try await bench.api.get("\(list)/\(id)", as: .bob).status == 404)
        #expect(try await bench.api.delete("\(list)/\(id)", as: .bob).status == 404)
        #expect(try await bench.api.delete("\(list)/\(id)", as: .rita).status == 403)
        #expect(try await bench.api.get("\(list)?all_projects=1", as: .bob).names("server_groups").isEmpty)
        #expect(try await bench.api.get(list, as: .root).names("server_groups").isEmpty)
        #expect(try await bench.api.get("\(list)?all_projects=1", as: .root).names("server_groups") == ["g"])
        #expect(try await bench.api.get("\(list)/\(id)", as: .root).status == 200)
        let hint: JSONValue = ["group": .string(id)]
        let order = ComputeBench.order(beside: ["os:scheduler_hints": hint])
        #expect(try await bench.api.post(bench.path("servers"), order, as: .bob, version: 100).status == 400)
    }

    @Test func whatIsNoGroupIsRefused() async throws {
        let bench = try await ComputeBench()
        for (group, version) in [
            (["name": "g"], 64), (["policy": "affinity"], 64), (["name": "g", "policy": "odd"], 64),
            (["name": "g", "policy": "affinity", "rules": ["max_server_per_host": 2]], 64),
            (["name": "g", "policy": "anti-affinity", "rules": ["max_server_per_host": 0]], 64),
            (["name": "g", "policy": "anti-affinity", "rules": ["x": 1]], 64),
            (["name": "g", "policies": ["affinity"]], 64), (["name": "g", "policy": "affinity"], 63),
            (["name": "g", "policies": ["affinity"], "rules": [:]], 63), (["name": "g", "policies": []], 1),
            (["name": "g", "policies": ["affinity", "anti-affinity"]], 1), (["name": "", "policies": ["affinity"]], 1),
            (["name": "g", "policies": ["soft-affinity"]], 14), (["name": "g", "policies": ["affinity"], "x": 1], 1),
        ] as [([String: JSONValue], Int)] {
            #expect(try await create(bench, group, version: version).status == 400, "\(group) at 2.\(version)")
        }
        #expect(try await bench.api.get(bench.path("os-server-groups?x=1"), version: 75).status == 400)
        #expect(try await bench.api.get(bench.path("os-server-groups?limit=-1")).status == 400)
        #expect(try await bench.api.get(bench.path("os-server-groups/x")).status == 404)
    }

    @Test func aServerJoinsAndTheGroupShowsBothWays() async throws {
        let bench = try await ComputeBench()
        let made = try await create(bench, ["name": "g", "policy": "affinity"])
        let group = try #require(made["server_group", "id"]?.string)
        let hints: JSONValue = ["group": .string(group), "query": ["=", "a", "b"], "anything": 1]
        let order = ComputeBench.order(beside: ["os:scheduler_hints": hints])
        let server = try await bench.api.post(bench.path("servers"), order, version: 100)
        let id = try #require(server["server", "id"]?.string)
        bench.cloud.activate(try #require(ServerID(id)), in: InMemoryCloud.north, host: "n1")
        let groupPath = bench.path("os-server-groups/\(group)")
        #expect(try await bench.api.get(groupPath)["server_group", "members"] == [.string(id)])
        let path = bench.path("servers/\(id)")
        for _ in 1...2 {
            #expect(try await bench.api.get(path, version: 71)["server", "server_groups"] == [.string(group)])
        }
        #expect(try await bench.api.get(path, version: 70)["server", "server_groups"] == nil)
        let renamed = try await bench.api.put(path, ["server": ["name": "x"]], version: 75)
        #expect(renamed["server", "server_groups"] == [.string(group)])
        #expect(try await bench.api.delete(groupPath).status == 204)
        #expect(try await bench.api.get(path, version: 100)["server", "server_groups"] == [])
        #expect(try await bench.api.get(path, version: 100)["server", "scheduler_hints", "anything"] == 1)
    }

    @Test func hintsThatCanNotBeReadAreRefused() async throws {
        let bench = try await ComputeBench()
        let id = "22222222-2222-4222-8222-222222222222"
        for (hints, status) in [
            (["group": "x"], 400), (["group": .string(id)], 400), (["same_host": "x"], 400),
            (["different_host": [1]], 400), (["different_host": .string(id), "same_host": .null], 202),
            (["same_host": [.string(id)]], 202), (["reservation": "x", "a": .null], 202),
        ] as [(JSONValue, Int)] {
            let order = ComputeBench.order(beside: ["os:scheduler_hints": hints])
            #expect(try await bench.api.post(bench.path("servers"), order, version: 100).status == status, "\(hints)")
        }
    }

    @Test func quotasOfGroupsAndMembersHold() async throws {
        let bench = try await ComputeBench()
        let quota = bench.path("os-quota-sets/\(Person.annsProject)")
        let limits: JSONValue = ["quota_set": ["server_groups": 1, "server_group_members": 1]]
        #expect(try await bench.api.put(quota, limits, as: .root, version: 57).status == 200)
        let made = try await create(bench, ["name": "g", "policy": "affinity"])
        let over = try await create(bench, ["name": "h", "policy": "affinity"])
        #expect(over.status == 403)
        #expect(over["forbidden", "message"] == "Quota exceeded, too many server groups.")
        let group = try #require(made["server_group", "id"])
        let order = ComputeBench.order(beside: ["os:scheduler_hints": ["group": group]])
        #expect(try await bench.api.post(bench.path("servers"), order, version: 100).status == 202)
        let full = try await bench.api.post(bench.path("servers"), order, version: 100)
        #expect(full.status == 403)
        #expect(full["forbidden", "message"] == "Quota exceeded, too many servers in group")
        let absolute = try await bench.api.get(bench.path("limits"))
        #expect(absolute["limits", "absolute", "totalServerGroupsUsed"] == 1)
        #expect(absolute["limits", "absolute", "maxServerGroups"] == 1)
        let detail = try await bench.api.get("\(quota)/detail", version: 57)
        #expect(detail["quota_set", "server_groups"] == ["limit": 1, "in_use": 1, "reserved": 0])
        #expect(detail["quota_set", "server_group_members"] == ["limit": 1, "in_use": 0, "reserved": 0])
        let lower: JSONValue = ["quota_set": ["server_groups": 0]]
        #expect(try await bench.api.put(quota, lower, as: .root, version: 57).status == 400)
    }
}

import APITestSupport
import CloudModel
import Primitives
import Testing

@Suite struct AggregateTests {
    @Test(arguments: AggregateContract.cases)
    func theStandInKeepsTheContract(of test: AggregateContract.Case) async throws {
        let ids = CountingIDs()
        let clock = ManualWallClock()
        let cloud = InMemoryCloud(networks: InMemoryNetworkStore(ids: ids), now: { clock.now() })
        for cell in [InMemoryCloud.north, InMemoryCloud.south] {
            for number in 1...2 {
                cloud.addHost(HostName("\(cell.name)-\(number)"), in: cell, zone: cell.name, id: ids.next())
            }
        }
        var instance = Instance(
            id: ids.next(), projectID: "p", userID: "u", name: "s", hostname: "s",
            flavor: Flavor(id: "1", name: "f", vcpus: 1, memoryMiB: 1, diskGiB: 1), image: nil, reservationID: "r",
            createdAt: clock.now())
        instance.host = "south-2"
        cloud.put(instance, in: InMemoryCloud.south)
        try await test.run(cloud, cloud)
    }

    private func create(_ bench: ComputeBench, _ name: String, zone: JSONValue? = nil) async throws -> String {
        var aggregate: [String: JSONValue] = ["name": .string(name)]
        aggregate["availability_zone"] = zone
        let answer = try await bench.api.post(
            bench.path("os-aggregates"), ["aggregate": .object(aggregate)], as: .root, version: 81)
        #expect(answer.status == 200)
        let id = try #require(answer["aggregate", "id"]?.integer)
        return bench.path("os-aggregates/\(id)")
    }

    @Test func anAggregateIsCreatedShownChangedAndDeleted() async throws {
        let bench = try await ComputeBench()
        let list = bench.path("os-aggregates")
        let made = try await bench.api.post(list, ["aggregate": ["name": "a"]], as: .root, version: 81)
        #expect(made["aggregate", "id"] == 1)
        #expect(made["aggregate", "uuid"]?.string?.count == 36)
        #expect(made["aggregate", "availability_zone"] == .null)
        #expect(made["aggregate", "created_at"] == "2026-09-21T14:13:20.000000")
        #expect(made["aggregate", "updated_at"] == .null)
        #expect(made["aggregate", "deleted"] == false)
        #expect(made["aggregate", "hosts"] == nil && made["aggregate", "metadata"] == nil)
        let path = "\(list)/1"
        let shown = try await bench.api.get(path, as: .root)
        #expect(shown["aggregate", "uuid"] == nil)
        #expect(shown["aggregate", "hosts"] == [] && shown["aggregate", "metadata"] == [:])
        let renamed = try await bench.api.put(
            path, ["aggregate": ["name": "b", "availability_zone": "fast"]], as: .root, version: 81)
        #expect(renamed["aggregate", "name"] == "b")
        #expect(renamed["aggregate", "metadata"] == ["availability_zone": "fast"])
        let added = try await bench.api.post(
            "\(path)/action", ["add_host": ["host": "n1"]], as: .root, version: 81)
        #expect(added["aggregate", "hosts"] == ["n1"])
        let set = try await bench.api.post(
            "\(path)/action", ["set_metadata": ["metadata": ["k": "v", "gone": .null]]], as: .root, version: 81)
        #expect(set["aggregate", "metadata"] == ["availability_zone": "fast", "k": "v"])
        #expect(try await bench.api.get(list, as: .root, version: 81).names("aggregates") == ["b"])
        #expect(try await bench.api.delete(path, as: .root).status == 400)
        let removed = try await bench.api.post(
            "\(path)/action", ["remove_host": ["host": "n1"]], as: .root, version: 81)
        #expect(removed["aggregate", "hosts"] == [])
        #expect(try await bench.api.delete(path, as: .root).status == 200)
        #expect(try await bench.api.get(path, as: .root).status == 404)
        #expect(try await bench.api.get("\(list)?x=1", as: .root, version: 102).status == 400)
    }

    @Test func aZoneOfAnAggregateCountsEverywhere() async throws {
        let bench = try await ComputeBench()
        let path = try await create(bench, "a", zone: "fast")
        for host in ["n1", "s1"] {
            let body: JSONValue = ["add_host": ["host": .string(host)]]
            #expect(try await bench.api.post("\(path)/action", body, as: .root).status == 200)
        }
        let zones = try await bench.api.get(bench.path("os-availability-zone"))
        #expect(zones.names("availabilityZoneInfo", "zoneName") == ["fast"])
        let services = try await bench.api.get(bench.path("os-services?binary=nova-compute"), as: .root, version: 69)
        #expect(services.names("services", "zone") == ["fast", "fast"])
        #expect(try await bench.create(["availability_zone": "north"]).status == 400)
        #expect(try await bench.create(["availability_zone": "fast"]).status == 202)
    }

    @Test func onlyAdministratorsHaveAggregates() async throws {
        let bench = try await ComputeBench()
        let path = try await create(bench, "a")
        let add: JSONValue = ["add_host": ["host": "n1"]]
        #expect(try await bench.api.get(bench.path("os-aggregates")).status == 403)
        #expect(try await bench.api.post(bench.path("os-aggregates"), ["aggregate": ["name": "x"]]).status == 403)
        #expect(try await bench.api.get(path).status == 403)
        #expect(try await bench.api.put(path, ["aggregate": ["name": "x"]]).status == 403)
        #expect(try await bench.api.delete(path).status == 403)
        #expect(try await bench.api.post("\(path)/action", add).status == 403)
    }

    @Test func refusalsAreNovas() async throws {
        let bench = try await ComputeBench()
        let list = bench.path("os-aggregates")
        let path = try await create(bench, "a", zone: "fast")
        let other = try await create(bench, "b", zone: "slow")
        func act(_ path: String, _ body: JSONValue) async throws -> Int {
            try await bench.api.post("\(path)/action", body, as: .root).status
        }
        #expect(try await act(path, ["add_host": ["host": "n1"]]) == 200)
        #expect(try await act(path, ["add_host": ["host": "n1"]]) == 409)
        #expect(try await act(other, ["add_host": ["host": "n1"]]) == 409)
        #expect(try await act(path, ["add_host": ["host": "n9"]]) == 404)
        #expect(try await act(path, ["add_host": ["host": "a b"]]) == 400)
        #expect(try await act(path, ["remove_host": ["host": "s1"]]) == 404)
        #expect(try await act(path, ["dance": [:]]) == 400)
        #expect(try await act(path, ["set_metadata": ["metadata": ["k": 1]]]) == 400)
        #expect(try await act(path, ["set_metadata": ["metadata": ["availability_zone": .null]]]) == 400)
        #expect(try await act(path, ["set_metadata": ["metadata": ["availability_zone": "a:b"]]]) == 400)
        #expect(try await act("\(list)/99", ["add_host": ["host": "s1"]]) == 404)
        _ = try await bench.active()
        #expect(try await act(path, ["remove_host": ["host": "n1"]]) == 409)
        #expect(try await act(path, ["set_metadata": ["metadata": ["availability_zone": "new"]]]) == 400)
        for (body, status) in [
            (["name": "a"], 409), (["name": ""], 400), (["name": .string(String(repeating: "x", count: 256))], 400),
            ([:], 400), (["name": "c", "availability_zone": "a:b"], 400), (["name": "c", "colour": "red"], 400),
        ] as [([String: JSONValue], Int)] {
            #expect(try await bench.api.post(list, ["aggregate": .object(body)], as: .root).status == status)
        }
        #expect(try await bench.api.put(other, ["aggregate": ["name": "a"]], as: .root).status == 409)
        #expect(try await bench.api.put(other, ["aggregate": [:]], as: .root).status == 400)
        #expect(try await bench.api.put(other, ["aggregate": ["availability_zone": .null]], as: .root).status == 400)
        #expect(try await bench.api.put("\(list)/99", ["aggregate": ["name": "x"]], as: .root).status == 404)
        #expect(try await bench.api.delete("\(list)/99", as: .root).status == 404)
        #expect(try await bench.api.get("\(list)/-1", as: .root).status == 404)
        #expect(try await bench.api.get("\(list)/some-name", as: .root).status == 400)
        let images: JSONValue = ["cache": [["id": .string(ComputeBench.imageID)]]]
        #expect(try await bench.api.post("\(path)/images", images, as: .root, version: 80).status == 404)
        #expect(try await bench.api.post("\(path)/images", images, as: .root, version: 81).status == 501)
    }
}

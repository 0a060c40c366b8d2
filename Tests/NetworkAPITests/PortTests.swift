import APITestSupport
import CloudModel
import Primitives
import Testing

@Suite struct PortTests {
    @Test func aPortGetsAnAddressAMACAndTheDefaultGroup() async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        let subnet = try await bench.subnet("10.0.0.0/24", on: network)
        let port = try await bench.port(["network_id": .string(network), "name": "p"])
        #expect(port.status == 201)
        #expect(port["port", "fixed_ips"] == [["subnet_id": .string(subnet), "ip_address": "10.0.0.2"]])
        #expect(port["port", "mac_address"]?.string?.hasPrefix("fa:16:3e:") == true)
        #expect(port["port", "status"] == "DOWN")
        #expect(port["port", "binding:vnic_type"] == "normal")
        #expect(port["port", "binding:host_id"] == nil)
        let groups = try await bench.api.get(bench.path("security-groups?name=default"))
        #expect(port["port", "security_groups", "0"] == groups["security_groups", "0", "id"])
    }

    @Test func aPortMayChooseItsAddressAndMAC() async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        _ = try await bench.subnet("10.0.0.0/24", on: network)
        let wanted: [String: JSONValue] = [
            "network_id": .string(network), "mac_address": "FA-16-3E-00-00-01",
            "fixed_ips": [["ip_address": "10.0.0.77"]],
        ]
        let port = try await bench.port(wanted)
        #expect(port["port", "fixed_ips", "0", "ip_address"] == "10.0.0.77")
        #expect(port["port", "mac_address"] == "fa:16:3e:00:00:01")
        #expect(try await bench.port(wanted)["NeutronError", "type"] == "MacAddressInUse")
        let taken = try await bench.port([
            "network_id": .string(network), "fixed_ips": [["ip_address": "10.0.0.77"]],
        ])
        #expect(taken.status == 409)
        #expect(taken["NeutronError", "type"] == "IpAddressAlreadyAllocated")
        let outside = try await bench.port([
            "network_id": .string(network), "fixed_ips": [["ip_address": "10.9.0.1"]],
        ])
        #expect(outside.status == 400)
    }

    @Test func onASharedNetworkTheAddressComesAsItComes() async throws {
        let bench = NetworkBench()
        let shared = try await bench.network("shared", shared: true, as: .root)
        _ = try await bench.subnet("10.0.0.0/24", on: shared, as: .root)
        let free = try await bench.port(["network_id": .string(shared)])
        #expect(free.status == 201)
        let chosen: [String: JSONValue] = ["network_id": .string(shared), "fixed_ips": [["ip_address": "10.0.0.9"]]]
        #expect(try await bench.port(chosen).status == 403)
        #expect(try await bench.port(chosen, as: .root).status == 201)
        let id = try #require(free["port", "id"]?.string)
        #expect(try await bench.api.get(bench.path("ports/\(id)"), as: .bob).status == 404)
        #expect(try await bench.api.get(bench.path("ports/\(id)"), as: .root)["port", "binding:vif_type"] == "unbound")
    }

    @Test func portsAreFoundByDeviceAndAddress() async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        let subnet = try await bench.subnet("10.0.0.0/24", on: network)
        _ = try await bench.port(["network_id": .string(network), "name": "a", "device_id": "d1"])
        _ = try await bench.port(["network_id": .string(network), "name": "b"])
        let api = bench.api
        #expect(try await api.get(bench.path("ports?device_id=d1")).names("ports") == ["a"])
        #expect(try await api.get(bench.path("ports?device_id=none")).names("ports").isEmpty)
        #expect(
            try await api.get(bench.path("ports?fixed_ips=ip_address%3D10.0.0.3")).names("ports") == ["b"])
        #expect(try await api.get(bench.path("ports?fixed_ips=subnet_id%3D\(subnet)")).names("ports").count == 2)
        #expect(try await api.get(bench.path("ports?network_id=x")).names("ports").isEmpty)
        #expect(
            try await api.get(bench.path("ports?project_id=\(Person.annsProject)&limit=1")).names("ports").count == 1)
    }

    @Test func aPortCanBeChanged() async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        _ = try await bench.subnet("10.0.0.0/24", on: network)
        let port = try await bench.port(["network_id": .string(network)])
        let id = try #require(port["port", "id"]?.string)
        let changed = try await bench.api.put(
            bench.path("ports/\(id)"),
            ["port": ["name": "n", "security_groups": [], "fixed_ips": [["ip_address": "10.0.0.50"]]]])
        #expect(changed.status == 200)
        #expect(changed["port", "security_groups"] == [])
        #expect(changed["port", "fixed_ips", "0", "ip_address"] == "10.0.0.50")
        let unknown = try await bench.api.put(
            bench.path("ports/\(id)"), ["port": ["security_groups": ["00000000-0000-0000-0000-000000000000"]]])
        #expect(unknown.status == 404)
        #expect(unknown["NeutronError", "type"] == "SecurityGroupNotFound")
    }

    @Test func quotasHold() async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        let path = bench.path("quotas/\(Person.annsProject)")
        #expect(try await bench.api.put(path, ["quota": ["port": 1]]).status == 403)
        #expect(try await bench.api.put(path, ["quota": ["port": 1]], as: .root)["quota", "port"] == 1)
        #expect(try await bench.port(["network_id": .string(network)]).status == 201)
        let refused = try await bench.port(["network_id": .string(network)])
        #expect(refused.status == 409)
        #expect(refused["NeutronError", "type"] == "OverQuota")
        let details = try await bench.api.get("\(path)/details")
        #expect(details["quota", "port"] == ["limit": 1, "used": 1, "reserved": 0])
        #expect(try await bench.api.get("\(path)/default")["quota", "port"] == 500)
        #expect(try await bench.api.delete(path, as: .root).status == 204)
        #expect(try await bench.api.get(path)["quota", "port"] == 500)
        #expect(try await bench.api.get(path, as: .bob).status == 403)
        #expect(try await bench.api.put(path, ["quota": ["ports": 1]], as: .root).status == 400)
    }
}

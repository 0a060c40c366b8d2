import APITestSupport
import Primitives
import Testing

@Suite struct SubnetTests {
    @Test func aSubnetGetsAGatewayAndAPool() async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        let id = try await bench.subnet("10.0.0.99/24", on: network)
        let subnet = try await bench.api.get(bench.path("subnets/\(id)"))
        #expect(subnet["subnet", "cidr"] == "10.0.0.0/24")
        #expect(subnet["subnet", "gateway_ip"] == "10.0.0.1")
        #expect(subnet["subnet", "allocation_pools"] == [["start": "10.0.0.2", "end": "10.0.0.254"]])
        #expect(subnet["subnet", "enable_dhcp"] == true)
        #expect(subnet["subnet", "ip_version"] == 4)
    }

    @Test func aSubnetMayHaveNoGatewayAndPoolsOfItsOwn() async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        let answer = try await bench.api.post(
            bench.path("subnets"),
            [
                "subnet": [
                    "network_id": .string(network), "ip_version": 4, "cidr": "10.0.0.0/24", "gateway_ip": .null,
                    "allocation_pools": [["start": "10.0.0.10", "end": "10.0.0.11"]],
                    "dns_nameservers": ["9.9.9.9"], "name": "s", "enable_dhcp": false,
                ]
            ])
        #expect(answer.status == 201)
        #expect(answer["subnet", "gateway_ip"] == .null)
        #expect(answer["subnet", "dns_nameservers"] == ["9.9.9.9"])
        #expect(answer["subnet", "enable_dhcp"] == false)
        for expected in ["10.0.0.10", "10.0.0.11"] {
            let port = try await bench.port(["network_id": .string(network)])
            #expect(port["port", "fixed_ips", "0", "ip_address"]?.string == expected)
        }
        let full = try await bench.port(["network_id": .string(network)])
        #expect(full.status == 409)
        #expect(full["NeutronError", "type"] == "IpAddressGenerationFailure")
    }

    @Test(
        arguments: [
            (["ip_version": 6], 400, "HTTPBadRequest"), (["cidr": "10.0.0.0"], 400, "HTTPBadRequest"),
            (["cidr": "10.0.0.0/33"], 400, "HTTPBadRequest"), (["cidr": "10.0.0.0/31"], 400, "InvalidInput"),
            (["cidr": "0.0.0.0/0"], 400, "InvalidInput"), (["gateway_ip": "10.1.0.1"], 400, "InvalidInput"),
            (["gateway_ip": "10.0.0.0"], 400, "InvalidInput"), (["gateway_ip": "x"], 400, "HTTPBadRequest"),
            (["allocation_pools": [["start": "10.0.0.9", "end": "10.0.0.3"]]], 400, "InvalidAllocationPool"),
            (["allocation_pools": [["start": "10.0.1.2", "end": "10.0.1.3"]]], 400, "OutOfBoundsAllocationPool"),
            (
                [
                    "allocation_pools": [
                        ["start": "10.0.0.2", "end": "10.0.0.9"], ["start": "10.0.0.9", "end": "10.0.0.12"],
                    ]
                ], 409, "OverlappingAllocationPools"
            ),
            (
                ["allocation_pools": [["start": "10.0.0.1", "end": "10.0.0.9"]]], 409,
                "GatewayConflictWithAllocationPools"
            ),
            (["dns_nameservers": ["one"]], 400, "HTTPBadRequest"),
            (["network_id": "nowhere"], 404, "NetworkNotFound"), (["host_routes": [["x": "y"]]], 400, "HTTPBadRequest"),
            (["cidr": "10.0.9.0/24"], 400, "InvalidInput"),
        ] as [(JSONValue, Int, String)])
    func whatCanNotBeIsExplained(change: JSONValue, status: Int, type: String) async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        _ = try await bench.subnet("10.0.8.0/22", on: network)
        var members: [String: JSONValue] = ["network_id": .string(network), "ip_version": 4, "cidr": "10.0.0.0/24"]
        members.merge(change.object ?? [:]) { $1 }
        let answer = try await bench.api.post(bench.path("subnets"), ["subnet": .object(members)])
        #expect(answer.status == status)
        #expect(answer["NeutronError", "type"]?.string == type)
    }

    @Test func aSubnetInUseStays() async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        let subnet = try await bench.subnet("10.0.0.0/24", on: network)
        let port = try await bench.port(["network_id": .string(network)])
        #expect(try await bench.api.delete(bench.path("subnets/\(subnet)")).status == 409)
        #expect(try await bench.api.delete(bench.path("networks/\(network)")).status == 409)
        let id = try #require(port["port", "id"]?.string)
        #expect(try await bench.api.delete(bench.path("ports/\(id)")).status == 204)
        #expect(try await bench.api.delete(bench.path("subnets/\(subnet)")).status == 204)
    }

    @Test func othersCanNotAddToASharedNetwork() async throws {
        let bench = NetworkBench()
        let shared = try await bench.network("shared", shared: true, as: .root)
        let answer = try await bench.api.post(
            bench.path("subnets"),
            ["subnet": ["network_id": .string(shared), "ip_version": 4, "cidr": "10.0.0.0/24"]])
        #expect(answer.status == 403)
    }

    @Test func aSubnetCanBeChanged() async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        let id = try await bench.subnet("10.0.0.0/24", on: network)
        let changed = try await bench.api.put(
            bench.path("subnets/\(id)"), ["subnet": ["name": "n", "dns_nameservers": ["1.1.1.1"]]])
        #expect(changed["subnet", "name"] == "n")
        #expect(changed["subnet", "dns_nameservers"] == ["1.1.1.1"])
        #expect(changed["subnet", "allocation_pools"] == [["start": "10.0.0.2", "end": "10.0.0.254"]])
        let conflict = try await bench.api.put(
            bench.path("subnets/\(id)"), ["subnet": ["gateway_ip": "10.0.0.7"]])
        #expect(conflict.status == 409)
    }
}

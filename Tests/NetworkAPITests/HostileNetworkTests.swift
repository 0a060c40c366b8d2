import APITestSupport
import CloudModel
import HTTPTypes
import Primitives
import Testing

@testable import NetworkAPI

/// Changes of ports and networks by which other clouds were once attacked, and everybody who may not.
@Suite struct HostileNetworkTests {
    /// What a running guest hangs on can't be changed under it, so that its host can always start it again.
    @Test(
        arguments: [
            ["binding:vnic_type": "direct"], ["binding:vnic_type": "macvtap"], ["binding:vnic_type": "direct-physical"],
            ["binding:profile": ["pci_slot": "0000:00:01.0"]], ["binding:host_id": "n1"],
            ["mac_address": "fa:16:3e:00:00:99"], ["network_id": "22222222-2222-4222-8222-222222222222"],
            ["project_id": .string(Person.bobsProject.text)], ["tenant_id": .string(Person.bobsProject.text)],
            ["id": "22222222-2222-4222-8222-222222222222"], ["status": "ACTIVE"],
            ["allowed_address_pairs": [["ip_address": "0.0.0.0/0"]]],
            ["extra_dhcp_opts": [["opt_name": "bootfile-name", "opt_value": "\nevil"]]],
            ["fixed_ips": [["ip_address": "10.0.0.1/24"]]], ["fixed_ips": [["ip_address": "169.254.169.254"]]],
            ["fixed_ips": [["ip_address": "10.0.0.5,set:evil"]]], ["dns_domain": "x\ny"],
        ] as [JSONValue])
    func aBoundPortKeepsWhatItsGuestHas(_ change: JSONValue) async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        _ = try await bench.subnet("10.0.0.0/24", on: network)
        let port = try await bench.port([
            "network_id": .string(network), "device_id": "d1", "device_owner": "compute:north",
        ])
        let id = try #require(port["port", "id"]?.string)
        let answer = try await bench.api.put(bench.path("ports/\(id)"), ["port": change])
        #expect([400, 403].contains(answer.status), "\(answer.status)")
        #expect(answer["NeutronError", "message"]?.string?.isEmpty == false)
        #expect(try await bench.api.get(bench.path("ports/\(id)"))["port"] == port["port"])
    }

    @Test(arguments: [
        "fa:16:3e:00:00", "fa:16:3e:00:00:zz", "fa:16:3e:00:00:01,evil", "fa:16:3e:00:00:01\n", "ff:ff:ff:ff:ff:ff",
        "01:00:5e:00:00:01", "00:00:00:00:00:00", "$(reboot)",
    ])
    func aMACAddressIsOneOfAMachine(_ text: String) async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        _ = try await bench.subnet("10.0.0.0/24", on: network)
        let answer = try await bench.port(["network_id": .string(network), "mac_address": .string(text)])
        #expect(answer.status == 400)
    }

    @Test(arguments: ["10.0.0.0/33", "10.0.0/24", "10.0.0.0/24\n", "10.0.0.0/24; nft flush ruleset", "::/0", "x"])
    func aPrefixIsNothingElse(_ text: String) async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        let body: JSONValue = ["network_id": .string(network), "ip_version": 4, "cidr": .string(text)]
        #expect(try await bench.api.post(bench.path("subnets"), ["subnet": body]).status == 400)
        let group = try await bench.api.post(bench.path("security-groups"), ["security_group": ["name": "g"]])
        let rule: JSONValue = [
            "security_group_id": group["security_group", "id"] ?? .null, "direction": "ingress",
            "remote_ip_prefix": .string(text),
        ]
        #expect(
            try await bench.api.post(bench.path("security-group-rules"), ["security_group_rule": rule]).status == 400)
    }

    @Test func nobodySpeaksForTheNetworkItself() async throws {
        let bench = NetworkBench()
        let shared = try await bench.network("shared", shared: true, as: .root)
        _ = try await bench.subnet("10.0.0.0/24", on: shared, as: .root)
        for owner in ["network:dhcp", "network:router_interface", "network:floatingip"] {
            let port = try await bench.port(["network_id": .string(shared), "device_owner": .string(owner)])
            #expect(port.status == 403, "\(owner)")
        }
        let open = try await bench.port(["network_id": .string(shared), "port_security_enabled": false])
        #expect(open.status == 403)
    }

    /// Every route, for everybody who may not.
    @Test func everyRouteAsksWhoIsThere() async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        _ = try await bench.subnet("10.0.0.0/24", on: network)
        let port = try await bench.port(["network_id": .string(network)])
        let ids: [String: String] = ["networks": network, "ports": try #require(port["port", "id"]?.string)]
        let routes = bench.service.routes
        #expect(routes.count > 25)
        for route in routes {
            let collection = route.path.split(separator: "/").first.map(String.init) ?? ""
            let id = ids[collection] ?? "22222222-2222-4222-8222-222222222222"
            let path = bench.path(
                route.path.replacing("{id}", with: id).replacing("{project}", with: Person.annsProject.text))
            let none = try await bench.api.send(route.method, path, ["x": .null], as: nil)
            #expect(none.status == 401, "\(route.method) \(path)")
            if route.role != .reader {
                let reader = try await bench.api.send(route.method, path, ["x": .null], as: .rita)
                #expect(reader.status == 403, "\(route.method) \(path)")
            }
            guard ids[collection] != nil, path.contains(id) else { continue }
            let member = String(collection.dropLast())
            let other = try await bench.api.send(route.method, path, [member: ["name": "mine"]], as: .bob)
            #expect(other.status == 404, "\(route.method) \(path): \(other.status)")
        }
        #expect(try await bench.api.get(bench.path("networks/\(network)"))["network", "name"] == "private")
    }
}

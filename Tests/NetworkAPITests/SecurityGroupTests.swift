import APITestSupport
import CloudModel
import Primitives
import Testing

@Suite struct SecurityGroupTests {
    @Test func theDefaultGroupAppearsByItself() async throws {
        let bench = NetworkBench()
        let answer = try await bench.api.get(bench.path("security-groups"))
        #expect(answer.names("security_groups") == ["default"])
        let rules = try #require(answer["security_groups", "0", "security_group_rules"]?.array)
        #expect(rules.count == 4)
        let id = answer["security_groups", "0", "id"]
        #expect(rules.filter { $0["direction"] == "ingress" }.allSatisfy { $0["remote_group_id"] == id })
        #expect(rules.filter { $0["direction"] == "egress" }.allSatisfy { $0["remote_group_id"] == .null })
        let again = try await bench.api.get(bench.path("security-groups"))
        #expect(again["security_groups", "0", "id"] == id)
        #expect(try await bench.api.get(bench.path("security-groups"), as: .bob)["security_groups", "0", "id"] != id)
    }

    @Test func theDefaultGroupStays() async throws {
        let bench = NetworkBench()
        let groups = try await bench.api.get(bench.path("security-groups"))
        let id = try #require(groups["security_groups", "0", "id"]?.string)
        #expect(try await bench.api.delete(bench.path("security-groups/\(id)")).status == 409)
        let another = try await bench.api.post(
            bench.path("security-groups"), ["security_group": ["name": "default"]])
        #expect(another["NeutronError", "type"] == "SecurityGroupDefaultAlreadyExists")
    }

    @Test func sshAndPingCanBeLetIn() async throws {
        let bench = NetworkBench()
        let group = try await bench.api.post(
            bench.path("security-groups"), ["security_group": ["name": "web", "description": "d"]])
        #expect(group.status == 201)
        #expect(group["security_group", "security_group_rules"]?.array?.count == 2)
        let id = try #require(group["security_group", "id"]?.string)
        let ssh: JSONValue = [
            "security_group_rule": [
                "security_group_id": .string(id), "direction": "ingress", "protocol": "tcp", "port_range_min": 22,
                "port_range_max": 22, "ethertype": "IPv4", "remote_ip_prefix": "0.0.0.0/0",
            ]
        ]
        let made = try await bench.api.post(bench.path("security-group-rules"), ssh)
        #expect(made.status == 201)
        #expect(made["security_group_rule", "port_range_min"] == 22)
        let twice = try await bench.api.post(bench.path("security-group-rules"), ssh)
        #expect(twice.status == 409)
        #expect(twice["NeutronError", "type"] == "SecurityGroupRuleExists")
        let ping = try await bench.api.post(
            bench.path("security-group-rules"),
            ["security_group_rule": ["security_group_id": .string(id), "direction": "ingress", "protocol": "icmp"]])
        #expect(ping.status == 201)
        let rule = try #require(ping["security_group_rule", "id"]?.string)
        #expect(try await bench.api.delete(bench.path("security-group-rules/\(rule)"), as: .bob).status == 404)
        #expect(try await bench.api.delete(bench.path("security-group-rules/\(rule)")).status == 204)
        let rules = try await bench.api.get(bench.path("security-group-rules?security_group_id=\(id)"))
        #expect(rules["security_group_rules"]?.array?.count == 3)
    }

    @Test func aGroupInUseStays() async throws {
        let bench = NetworkBench()
        let network = try await bench.network("private")
        let group = try await bench.api.post(bench.path("security-groups"), ["security_group": ["name": "web"]])
        let id = try #require(group["security_group", "id"]?.string)
        _ = try await bench.port(["network_id": .string(network), "security_groups": [.string(id)]])
        let refused = try await bench.api.delete(bench.path("security-groups/\(id)"))
        #expect(refused.status == 409)
        #expect(refused["NeutronError", "type"] == "SecurityGroupInUse")
    }

    @Test(
        arguments: [
            (["direction": "sideways"], 400), (["ethertype": "IPX"], 400), (["protocol": "carrier-pigeon"], 400),
            (["protocol": 256], 400), (["port_range_min": 22], 400), (["protocol": "tcp", "port_range_min": 22], 400),
            (["protocol": "tcp", "port_range_min": 23, "port_range_max": 22], 400),
            (["protocol": "icmp", "port_range_max": 1], 400), (["protocol": "icmp", "port_range_min": 300], 400),
            (["protocol": "gre", "port_range_min": 1, "port_range_max": 1], 400),
            (["remote_ip_prefix": "10.0.0.0/40"], 400), (["remote_ip_prefix": "::/0"], 400),
            (["remote_ip_prefix": "10.0.0.0/8", "remote_group_id": "x"], 400), (["remote_group_id": "x"], 404),
            (["security_group_id": "x"], 404), (["port": 1], 400), (["port_range_min": "many"], 400),
            (["protocol": "6", "port_range_min": "22", "port_range_max": 22], 201), (["protocol": "any"], 201),
            (["ethertype": "ipv6", "remote_ip_prefix": "2001:DB8::/32"], 201),
        ] as [(JSONValue, Int)])
    func rulesAreChecked(change: JSONValue, status: Int) async throws {
        let bench = NetworkBench()
        let groups = try await bench.api.get(bench.path("security-groups"))
        let id = try #require(groups["security_groups", "0", "id"])
        var members: [String: JSONValue] = ["security_group_id": id, "direction": "ingress"]
        members.merge(change.object ?? [:]) { $1 }
        let answer = try await bench.api.post(
            bench.path("security-group-rules"), ["security_group_rule": .object(members)])
        #expect(answer.status == status)
    }

    @Test func rulesAboutMembersBecomeRulesAboutTheSubnets() async throws {
        let bench = NetworkBench()
        let group = try await bench.store.defaultGroup(
            of: Person.annsProject, ids: bench.ids, now: bench.clock.now())
        let prefix = try #require(IPv4Prefix("10.0.0.0/24"))
        let rules = SecurityGroup.flatten([group, group], prefixes: [prefix])
        #expect(
            rules == [
                SecurityRule(direction: .egress, etherType: "IPv4"),
                SecurityRule(direction: .egress, etherType: "IPv6"),
                SecurityRule(direction: .ingress, etherType: "IPv4", remotePrefix: "10.0.0.0/24"),
            ])
    }
}

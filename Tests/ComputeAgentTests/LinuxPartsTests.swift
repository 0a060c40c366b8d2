import CellProtocol
import CloudModel
@testable import ComputeAgent
import FoundationEssentials
import Primitives
import Testing

@Suite struct ConfigDriveTests {
    @Test func carriesKeyMetadataUserDataAndNetwork() throws {
        let files = try ConfigDrive(Sample.guest(interfaces: [Sample.interface()])).files()
        let meta = try JSONDecoder().decode(
            JSONValue.self, from: try #require(files["openstack/latest/meta_data.json"]))
        #expect(meta["public_keys"]?["key"]?.string == "ssh-ed25519 AAAA")
        #expect(meta["meta"]?["role"]?.string == "front")
        #expect(meta["hostname"]?.string == "web")
        #expect(files["openstack/latest/user_data"] == Data("#!/bin/sh\n".utf8))
        let network = try JSONDecoder().decode(
            JSONValue.self, from: try #require(files["openstack/latest/network_data.json"]))
        let first = try #require(network["networks"]?.array?.first)
        #expect(first["ip_address"]?.string == "10.20.0.11")
        #expect(first["netmask"]?.string == "255.255.255.0")
        #expect(network["links"]?.array?.first?["ethernet_mac_address"]?.string == "fa:16:3e:00:00:01")
    }
}

@Suite struct FirewallRulesetTests {
    @Test func noRuleMeansNoTraffic() throws {
        let script = FirewallRuleset(interfaces: [try Sample.interface()]).script()
        #expect(script.contains("chain in_cwt11111111222 {\ndrop\n}"))
        #expect(script.contains("ip daddr 10.20.0.11 jump in_cwt11111111222"))
    }

    @Test func aGuestIsKeptToItsOwnAddresses() throws {
        let script = FirewallRuleset(interfaces: [try Sample.interface()]).script()
        #expect(script.contains("iifname \"cwt11111111222\" ether saddr != fa:16:3e:00:00:01 drop"))
        #expect(script.contains("iifname \"cwt11111111222\" ip saddr != { 10.20.0.11 } drop"))
    }

    @Test(arguments: [
        (
            SecurityRule(direction: .ingress, etherType: "IPv4", ipProtocol: "tcp", portMinimum: 22, portMaximum: 22),
            "tcp dport 22-22 return"
        ),
        (SecurityRule(direction: .ingress, etherType: "IPv4", ipProtocol: "icmp"), "meta l4proto icmp return"),
        (
            SecurityRule(direction: .ingress, etherType: "IPv4", remotePrefix: "10.0.0.0/8"),
            "ip saddr 10.0.0.0/8 return"
        ),
        (SecurityRule(direction: .egress, etherType: "IPv4"), "{\nreturn\ndrop"),
    ])
    func rulesBecomeMatches(rule: SecurityRule, expected: String) throws {
        #expect(FirewallRuleset(interfaces: [try Sample.interface(rules: [rule])]).script().contains(expected))
    }
}

@Suite struct ConsoleTailTests {
    @Test(arguments: [(nil, "a\nb\nc\n"), (1, "c\n"), (2, "b\nc\n"), (9, "a\nb\nc\n"), (0, "")] as [(Int?, String)])
    func givesTheLastLines(lines: Int?, expected: String) {
        #expect(AgentService.tail(of: Array("a\nb\nc\n".utf8), lines: lines) == expected)
    }
}

import CellProtocol
import CloudModel
import Primitives

/// The nftables rules of all guests of a host, as one script that replaces the whole of our tables at once. Pure.
///
/// Table `bridge cellwright_ports` keeps a guest to its own addresses; table `inet cellwright_groups` (reached through
/// br_netfilter) enforces security groups on traffic that is forwarded to and from guests. The host itself is not
/// filtered. No rule, no traffic.
struct FirewallRuleset: Sendable {
    let interfaces: [NetworkInterface]

    func script() -> String {
        let sorted = interfaces.sorted { $0.portID < $1.portID }
        return [
            "add table bridge cellwright_ports", "delete table bridge cellwright_ports",
            "add table inet cellwright_groups", "delete table inet cellwright_groups",
            ports(sorted), groups(sorted), "",
        ].joined(separator: "\n")
    }

    private func ports(_ interfaces: [NetworkInterface]) -> String {
        var lines = [
            "table bridge cellwright_ports {", "chain prerouting {", "type filter hook prerouting priority -300;",
        ]
        for interface in interfaces {
            let tap = DeviceNames.tap(interface.portID)
            let addresses = interface.addresses.map(\.address).joined(separator: ", ")
            lines.append("iifname \"\(tap)\" ether saddr != \(interface.macAddress) drop")
            lines.append("iifname \"\(tap)\" ip saddr 0.0.0.0 udp sport 68 udp dport 67 accept")
            if addresses.isEmpty {
                lines.append("iifname \"\(tap)\" ether type { ip, arp } drop")
            } else {
                lines.append("iifname \"\(tap)\" ip saddr != { \(addresses) } drop")
                lines.append("iifname \"\(tap)\" arp saddr ip != { 0.0.0.0, \(addresses) } drop")
            }
            lines.append("iifname \"\(tap)\" ether type ip6 drop")
        }
        return (lines + ["}", "}"]).joined(separator: "\n")
    }

    private func groups(_ interfaces: [NetworkInterface]) -> String {
        var chains: [String] = []
        var jumps: [String] = []
        for interface in interfaces {
            let name = DeviceNames.tap(interface.portID)
            for address in interface.addresses {
                jumps.append("ip daddr \(address.address) jump in_\(name)")
                jumps.append("ip saddr \(address.address) jump out_\(name)")
            }
            chains.append(
                chain("in_\(name)", interface.securityRules.filter { $0.direction == .ingress }, side: "saddr"))
            chains.append(
                chain("out_\(name)", interface.securityRules.filter { $0.direction == .egress }, side: "daddr"))
        }
        let forward = [
            "chain forward {", "type filter hook forward priority 0;", "ct state established,related accept",
            "udp sport { 67, 68 } udp dport { 67, 68 } accept",
        ]
        return (["table inet cellwright_groups {"] + chains + forward + jumps + ["}", "}"]).joined(separator: "\n")
    }

    private func chain(_ name: String, _ rules: [SecurityRule], side: String) -> String {
        let allowed = rules.filter { $0.etherType == "IPv4" }.map { Self.match($0, side: side) + "return" }
        return (["chain \(name) {"] + allowed + ["drop", "}"]).joined(separator: "\n")
    }

    private static func match(_ rule: SecurityRule, side: String) -> String {
        var match = ""
        if let prefix = rule.remotePrefix, prefix != "0.0.0.0/0" { match += "ip \(side) \(prefix) " }
        switch rule.ipProtocol {
        case nil, "any", "-1": break
        case "tcp", "udp", "sctp", "6", "17", "132":
            let word = ["6": "tcp", "17": "udp", "132": "sctp"][rule.ipProtocol ?? ""] ?? rule.ipProtocol ?? "tcp"
            if let low = rule.portMinimum {
                match += "\(word) dport \(low)-\(rule.portMaximum ?? low) "
            } else {
                match += "meta l4proto \(word) "
            }
        case "icmp", "1":
            match += "meta l4proto icmp "
            if let type = rule.portMinimum { match += "icmp type \(type) " }
        case .some(let other): match += "meta l4proto \(Int(other) ?? 255) "
        }
        return match
    }
}

/// Names of our devices: made from ids, so that they are found again without memory. Linux allows 15 characters.
enum DeviceNames {
    private static let tapPrefix = "cwt"

    static func bridge(_ network: NetworkID) -> String { "cwb" + network.hex.prefix(11) }
    static func tap(_ port: PortID) -> String { tapPrefix + portDigits(port) }

    /// What of a port's id is in the name of its tap.
    static func portDigits(_ port: PortID) -> String { String(port.hex.prefix(AgentHoldings.portDigits)) }

    /// Nil for a device that is no tap of ours.
    static func portDigits(tap name: String) -> String? {
        guard name.hasPrefix(tapPrefix) else { return nil }
        let digits = name.dropFirst(tapPrefix.count)
        return digits.count == AgentHoldings.portDigits && digits.allSatisfy(\.isHexDigit) ? String(digits) : nil
    }
}

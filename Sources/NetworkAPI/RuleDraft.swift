import CloudModel
import HTTPKit
import Primitives

/// A security group rule as its user sent it, checked as far as the text alone allows.
struct RuleDraft {
    private static let portProtocols: Set<String> = [
        "tcp", "udp", "sctp", "dccp", "udplite", "6", "17", "33", "132", "136",
    ]
    private static let icmpProtocols: Set<String> = ["icmp", "1", "ipv6-icmp", "icmpv6", "58"]
    private static let names: Set<String> = portProtocols.union(icmpProtocols).union([
        "ah", "egp", "esp", "gre", "igmp", "ipip", "ipv6-encap", "ipv6-frag", "ipv6-nonxt", "ipv6-opts", "ipv6-route",
        "ospf", "pgm", "rsvp", "vrrp",
    ])

    let direction: SecurityRule.Direction
    let etherType: String
    let ipProtocol: String?
    let portMinimum: Int?
    let portMaximum: Int?
    let remotePrefix: String?
    let remoteGroup: String?
    let description: String

    init(_ body: inout JSONObjectReader) throws(APIFault) {
        let directionText = try body.requiredString("direction", length: 0...255)
        guard let direction = SecurityRule.Direction(rawValue: directionText.lowercased()) else {
            throw .badRequest(
                "Invalid input for direction. Reason: '\(directionText.prefix(50))' is not in ['ingress', 'egress'].")
        }
        self.direction = direction
        let type = try body.string("ethertype", length: 0...255, nullable: true) ?? "IPv4"
        guard let etherType = ["IPv4", "IPv6"].first(where: { $0.lowercased() == type.lowercased() }) else {
            throw .badRequest("Invalid input for ethertype. Reason: '\(type.prefix(50))' is not in ['IPv4', 'IPv6'].")
        }
        self.etherType = etherType
        ipProtocol = try Self.ipProtocol(&body)
        portMinimum = try body.integer("port_range_min", in: 0...65_535, nullable: true, acceptsText: true)
        portMaximum = try body.integer("port_range_max", in: 0...65_535, nullable: true, acceptsText: true)
        remoteGroup = try body.string("remote_group_id", length: 0...255, nullable: true)
        remotePrefix = try Self.remotePrefix(&body, etherType)
        description = try body.string("description", length: 0...255) ?? ""
        try body.takeEmpty(["remote_address_group_id"])
        guard remoteGroup == nil || remotePrefix == nil else {
            throw .badRequest(
                "Only remote_ip_prefix or remote_group_id may be provided.",
                type: "SecurityGroupRemoteGroupAndRemoteIpPrefix")
        }
        try checkPorts()
    }

    private static func ipProtocol(_ body: inout JSONObjectReader) throws(APIFault) -> String? {
        let value = body.value("protocol") ?? .null
        let text: String
        switch value {
        case .null: return nil
        case .integer(let number): text = String(number)
        case .string(let string): text = string.lowercased()
        case .bool, .number, .array, .object: throw unsupported(value.text)
        }
        if text == "any" || text.isEmpty { return nil }
        guard names.contains(text) || (Int(text).map { (0...255).contains($0) } ?? false) else {
            throw unsupported(text)
        }
        return text
    }

    private static func unsupported(_ text: String) -> APIFault {
        .badRequest(
            "Security group rule protocol \(text.prefix(50)) not supported.",
            type: "SecurityGroupRuleInvalidProtocol")
    }

    private static func remotePrefix(
        _ body: inout JSONObjectReader, _ etherType: String
    ) throws(APIFault) -> String? {
        guard let text = try body.string("remote_ip_prefix", length: 0...64, nullable: true) else { return nil }
        if etherType == "IPv4" {
            if let prefix = IPv4Prefix(text) { return prefix.description }
        } else if text.contains(":"), text.utf8.allSatisfy(isIPv6Byte) {
            return text.lowercased()
        }
        throw .badRequest(
            "Invalid input for remote_ip_prefix. Reason: '\(text)' is not a valid CIDR of \(etherType).",
            type: "SecurityGroupRuleParameterConflict")
    }

    private static func isIPv6Byte(_ byte: UInt8) -> Bool {
        Character(Unicode.Scalar(byte)).isHexDigit || [0x2E, 0x2F, 0x3A].contains(byte)
    }

    private func checkPorts() throws(APIFault) {
        guard portMinimum != nil || portMaximum != nil else { return }
        guard let ipProtocol else {
            throw .badRequest(
                "Must also specify protocol if port range is given.", type: "SecurityGroupProtocolRequiredWithPorts")
        }
        if Self.portProtocols.contains(ipProtocol) {
            guard let portMinimum, let portMaximum, (1...portMaximum + 1).contains(portMinimum),
                portMinimum <= portMaximum
            else {
                throw .badRequest(
                    "For TCP/UDP protocols, port_range_min must be <= port_range_max",
                    type: "SecurityGroupInvalidPortRange"
                )
            }
        } else if Self.icmpProtocols.contains(ipProtocol) {
            guard let type = portMinimum else {
                throw .badRequest(
                    "ICMP code (port-range-max) is provided but ICMP type (port-range-min) is missing.",
                    type: "SecurityGroupMissingIcmpType")
            }
            guard type <= 255, portMaximum ?? 0 <= 255 else {
                throw .badRequest(
                    "Invalid value for ICMP: type and code must be 0 to 255.", type: "SecurityGroupInvalidIcmpValue")
            }
        } else {
            throw .badRequest(
                "Port range cannot be specified for protocol \(ipProtocol).",
                type: "SecurityGroupInvalidProtocolForPort")
        }
    }
}

import CloudModel
import HTTPKit
import Primitives

/// The one table from the network's errors to the API's answers, with Neutron's type names.
enum NetworkFaults {
    @Sendable static func fault(_ error: any Error) -> APIFault? {
        guard let error = error as? NetworkError else { return nil }
        switch error {
        case .networkNotFound(let id): return network(id.description)
        case .subnetNotFound(let id): return subnet(id.description)
        case .portNotFound(let id): return port(id.description)
        case .groupNotFound(let name): return group(name)
        case .ruleNotFound(let id): return rule(id.description)
        case .networkInUse(let id):
            return .conflict(
                "Unable to complete operation on network \(id). There are one or more ports still in use on the network.",
                type: "NetworkInUse")
        case .subnetInUse(let id):
            return .conflict(
                "Unable to complete operation on subnet \(id): One or more ports have an IP allocation from this subnet.",
                type: "SubnetInUse")
        case .groupInUse(let id): return .conflict("Security Group \(id) in use.", type: "SecurityGroupInUse")
        case .defaultGroup:
            return .conflict(
                "Insufficient rights for removing default security group.", type: "SecurityGroupCannotRemoveDefault")
        case .defaultGroupExists:
            return .conflict("Default security group already exists.", type: "SecurityGroupDefaultAlreadyExists")
        case .overlappingSubnet(let prefix, let other):
            return .badRequest(
                "Invalid input for operation: Requested subnet with cidr: \(prefix) overlaps with another subnet of the "
                    + "network: \(other).", type: "InvalidInput")
        case .addressInUse(let address):
            return .conflict(
                "IP address \(address) already allocated in the network.", type: "IpAddressAlreadyAllocated")
        case .macInUse(let mac):
            return .conflict("The mac address \(mac) is in use on the network.", type: "MacAddressInUse")
        case .invalidAddress(let address):
            return .badRequest(
                "IP address \(address) is not a valid IP for the specified subnet.", type: "InvalidIpForSubnet")
        case .noMoreAddresses(let id):
            return .conflict("No more IP addresses available on network \(id).", type: "IpAddressGenerationFailure")
        case .ruleExists(let id):
            return .conflict("Security group rule already exists. Rule id is \(id).", type: "SecurityGroupRuleExists")
        case .overQuota(let resource):
            return .conflict("Quota exceeded for resources: ['\(resource.rawValue)'].", type: "OverQuota")
        }
    }

    static func network(_ id: String) -> APIFault { missing("Network", id, "NetworkNotFound") }
    static func subnet(_ id: String) -> APIFault { missing("Subnet", id, "SubnetNotFound") }
    static func port(_ id: String) -> APIFault { missing("Port", id, "PortNotFound") }
    static func rule(_ id: String) -> APIFault { missing("Security group rule", id, "SecurityGroupRuleNotFound") }

    static func group(_ id: String) -> APIFault {
        .notFound("Security group \(id.prefix(255)) does not exist", type: "SecurityGroupNotFound")
    }

    private static func missing(_ kind: String, _ id: String, _ type: String) -> APIFault {
        .notFound("\(kind) \(id.prefix(255)) could not be found.", type: type)
    }
}

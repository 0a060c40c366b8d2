package import CellProtocol
import CloudModel
package import FoundationEssentials
import Primitives

/// The files of a config drive, in OpenStack's layout (version `2018-08-27` and `latest`). Pure.
///
/// Source: the metadata formats that Nova documents for `meta_data.json` and `network_data.json`.
package struct ConfigDrive: Sendable {
    package static let versions = ["2018-08-27", "latest"]

    private let guest: GuestSpecification

    package init(_ guest: GuestSpecification) { self.guest = guest }

    /// Paths under the drive's root, with their contents.
    package func files() throws -> [String: Data] {
        let metaData = try Self.encode(metaData)
        let networkData = try Self.encode(networkData)
        var files: [String: Data] = [:]
        for version in Self.versions {
            files["openstack/\(version)/meta_data.json"] = metaData
            files["openstack/\(version)/network_data.json"] = networkData
            files["openstack/\(version)/vendor_data.json"] = Data("{}".utf8)
            if let userData = guest.userData.flatMap({ Data(base64Encoded: $0) }) {
                files["openstack/\(version)/user_data"] = userData
            }
        }
        return files
    }

    var metaData: JSONValue {
        var document: [String: JSONValue] = [
            "uuid": .string(guest.id.description), "name": .string(guest.name), "hostname": .string(guest.hostname),
            "availability_zone": .string(guest.availabilityZone), "launch_index": .integer(Int64(guest.launchIndex)),
            "project_id": .string(guest.projectID.text), "meta": .object(guest.metadata.mapValues { .string($0) }),
            "devices": .array([]),
        ]
        if let name = guest.keyName, let key = guest.publicKey {
            document["public_keys"] = .object([name: .string(key)])
            document["keys"] = .array([
                .object(["name": .string(name), "type": .string("ssh"), "data": .string(key)])
            ])
        }
        return .object(document)
    }

    var networkData: JSONValue {
        var links: [JSONValue] = []
        var networks: [JSONValue] = []
        var services: [JSONValue] = []
        for (index, interface) in guest.interfaces.enumerated() {
            let link = "tap\(index)"
            links.append(
                .object([
                    "id": .string(link), "vif_id": .string(interface.portID.description), "type": .string("bridge"),
                    "mtu": .integer(Int64(interface.mtu)), "ethernet_mac_address": .string(interface.macAddress),
                ]))
            for address in interface.addresses {
                networks.append(network(address, of: interface, link: link, number: networks.count))
                for server in address.nameServers {
                    services.append(.object(["type": .string("dns"), "address": .string(server)]))
                }
            }
        }
        return .object(["links": .array(links), "networks": .array(networks), "services": .array(services)])
    }

    private func network(
        _ address: NetworkInterface.FixedAddress, of interface: NetworkInterface, link: String, number: Int
    ) -> JSONValue {
        let routes: [JSONValue] =
            address.gateway.map {
                [
                    .object([
                        "network": .string("0.0.0.0"), "netmask": .string("0.0.0.0"), "gateway": .string($0),
                    ])
                ]
            } ?? []
        return .object([
            "id": .string("network\(number)"), "type": .string("ipv4_dhcp"), "link": .string(link),
            "network_id": .string(interface.networkID.description), "ip_address": .string(address.address),
            "netmask": .string(IPv4Prefix.netmask(address.prefixLength).description), "routes": .array(routes),
        ])
    }

    private static func encode(_ value: JSONValue) throws -> Data {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(value)
    }
}

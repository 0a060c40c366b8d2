import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `GET /extensions`: a list from the time before microversions. Clients look for aliases in it.
struct ExtensionEndpoints: ComputeEndpoints {
    private static let aliases: [(alias: String, name: String)] = [
        ("flavors", "Flavors"), ("os-availability-zone", "AvailabilityZone"), ("os-config-drive", "ConfigDrive"),
        ("os-console-output", "ConsoleOutput"), ("os-extended-availability-zone", "ExtendedAvailabilityZone"),
        ("os-extended-server-attributes", "ExtendedServerAttributes"), ("os-extended-status", "ExtendedStatus"),
        ("os-flavor-access", "FlavorAccess"), ("os-flavor-extra-specs", "FlavorExtraSpecs"),
        ("os-flavor-manage", "FlavorManage"), ("os-hypervisors", "Hypervisors"),
        ("os-instance-actions", "InstanceActions"), ("os-attach-interfaces", "AttachInterfaces"),
        ("os-keypairs", "Keypairs"), ("limits", "Limits"), ("os-lock-server", "LockServer"),
        ("os-quota-sets", "Quotas"), ("os-security-groups", "SecurityGroups"), ("servers", "Servers"),
        ("os-server-usage", "ServerUsage"), ("os-services", "Services"),
        ("os-simple-tenant-usage", "SimpleTenantUsage"),
        ("os-user-data", "UserData"), ("versions", "Versions"),
    ]

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "extensions", .any) { request in
                try request.checkQuery([], strictFrom: 102)
                return .json(["extensions": .array(Self.aliases.map(Self.view))])
            },
            ComputeRoute(.get, "extensions/{id}", .any) { request in
                guard let found = Self.aliases.first(where: { $0.alias == request.id }) else {
                    throw APIFault.notFound()
                }
                return .json(["extension": Self.view(found)])
            },
        ]
    }

    private static func view(_ entry: (alias: String, name: String)) -> JSONValue {
        [
            "alias": .string(entry.alias), "name": .string(entry.name), "description": .string(entry.name), "links": [],
            "namespace": "http://docs.openstack.org/compute/ext/fake_xml", "updated": "2014-12-03T00:00:00Z",
        ]
    }
}

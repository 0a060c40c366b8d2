import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/extensions`: what clients ask before they use a feature.
struct ExtensionEndpoints: NetworkEndpointGroup {
    private static let known: [(alias: String, name: String)] = [
        ("agent", "agent"), ("binding", "Port Binding"), ("external-net", "Neutron external network"),
        ("net-mtu", "Network MTU"), ("net-mtu-writable", "Network MTU (writable)"),
        ("pagination", "Pagination support"),
        ("port-security", "Port Security"), ("project-id", "project_id field enabled"),
        ("quota_details", "Quota details management support"), ("quotas", "Quota management support"),
        ("security-group", "security-group"), ("sorting", "Sorting support"),
        ("standard-attr-description", "standard-attr-description"),
        ("standard-attr-revisions", "Resource revision numbers"), ("standard-attr-timestamp", "Resource timestamps"),
    ]

    var routes: [NetworkRoute] {
        [
            NetworkRoute(.get, "extensions", .reader) { _ in
                .json(["extensions": .array(Self.known.map(Self.view))])
            },
            NetworkRoute(.get, "extensions/{id}", .reader) { request in
                guard let found = Self.known.first(where: { $0.alias == request.id }) else {
                    throw APIFault.notFound("Extension with alias \(request.id.prefix(100)) does not exist")
                }
                return .json(["extension": Self.view(found)])
            },
        ]
    }

    private static func view(_ entry: (alias: String, name: String)) -> JSONValue {
        [
            "alias": .string(entry.alias), "name": .string(entry.name), "description": .string(entry.name), "links": [],
            "updated": "2015-01-01T10:00:00-00:00",
        ]
    }
}

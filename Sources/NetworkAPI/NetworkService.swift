package import CloudModel
package import HTTPKit
import HTTPTypes
import Hummingbird
package import Primitives

/// Everything that the network API needs, given by its process.
package struct NetworkDependencies: Sendable {
    package var store: any NetworkStore
    package var tokens: any TokenValidator
    package var ids: any IDSource
    package var wallClock: any WallClock

    package init(
        store: any NetworkStore, tokens: any TokenValidator, ids: any IDSource, wallClock: any WallClock
    ) {
        self.store = store
        self.tokens = tokens
        self.ids = ids
        self.wallClock = wallClock
    }
}

/// Network v2.0 at `/network`.
package struct NetworkService: APIService {
    package let name = "network"
    package let path = "/network"
    package let faults: any FaultRenderer = NeutronFaults(NetworkFaults.fault)

    private let dependencies: NetworkDependencies

    package init(_ dependencies: NetworkDependencies) { self.dependencies = dependencies }

    private var endpoints: [any NetworkEndpointGroup] {
        [
            NetworkEndpoints(dependencies), SubnetEndpoints(dependencies), PortEndpoints(dependencies),
            SecurityGroupEndpoints(dependencies), SecurityRuleEndpoints(dependencies),
            NetworkQuotaEndpoints(dependencies), ExtensionEndpoints(), EmptyEndpoints(),
        ]
    }

    /// Everything below `/network/v2.0`.
    var routes: [NetworkRoute] { endpoints.flatMap(\.routes) }

    package func addRoutes(to routes: APIRoutes) {
        routes.get("") { _, context in
            Response.json([
                "versions": [
                    [
                        "id": "v2.0", "status": "CURRENT",
                        "links": [["rel": "self", "href": .string(context.serviceURL + "/v2.0/")]],
                    ]
                ]
            ])
        }
        let secured = routes.group("v2.0").add(middleware: Authentication(dependencies.tokens))
        secured.get("") { _, context in
            Response.json(["resources": .array(Self.collections.map { Self.resource($0, context) })])
        }
        for route in self.routes {
            secured.on(RouterPath(route.path), method: route.method) { request, context in
                let call = try NetworkRequest(request, context)
                try route.authorize(call)
                return try await route.handler(call)
            }
        }
    }

    private static let collections = ["networks", "subnets", "ports", "security-groups", "security-group-rules"]

    private static func resource(_ collection: String, _ context: APIContext) -> JSONValue {
        [
            "name": .string(String(collection.dropLast())), "collection": .string(collection),
            "links": [["rel": "self", "href": .string("\(context.serviceURL)/v2.0/\(collection)")]],
        ]
    }
}

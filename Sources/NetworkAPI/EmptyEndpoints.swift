import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// Kinds of things of which this cloud has none yet: their lists are empty and none of them is found.
struct EmptyEndpoints: NetworkEndpointGroup {
    private static let collections: [(path: String, type: String, role: NetworkRoute.Role)] = [
        ("floatingips", "FloatingIPNotFound", .reader), ("routers", "RouterNotFound", .reader),
        ("subnetpools", "SubnetPoolNotFound", .reader), ("agents", "AgentNotFound", .admin),
    ]

    var routes: [NetworkRoute] {
        Self.collections.flatMap { collection in
            [
                NetworkRoute(.get, collection.path, collection.role) { request in
                    try ResourceList(request, collection.path).response([])
                },
                NetworkRoute(.get, "\(collection.path)/{id}", collection.role) { request in
                    let name = request.id.prefix(255)
                    throw APIFault.notFound("\(name) could not be found.", type: collection.type)
                },
            ]
        } + [
            NetworkRoute(.get, "availability_zones", .reader) { request in
                try ResourceList(request, "availability_zones").response([])
            }
        ]
    }
}

import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// Kinds of things of which this cloud has none yet: their lists are empty and none of them is found.
struct EmptyEndpoints: ComputeEndpoints {
    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "os-aggregates", .admin) { request in
                try request.checkQuery([], strictFrom: 102)
                return .json(["aggregates": []])
            },
            ComputeRoute(.get, "os-aggregates/{id}", .admin) { request in
                throw APIFault.notFound("Aggregate \(request.id.prefix(255)) could not be found.")
            },
            ComputeRoute(.get, "os-server-groups", .reader) { request in
                try request.checkQuery(["all_projects", "limit", "offset"], strictFrom: 75)
                return .json(["server_groups": []])
            },
            ComputeRoute(.get, "os-server-groups/{id}", .reader) { request in
                throw APIFault.notFound("Instance group \(request.id.prefix(255)) could not be found.")
            },
            ComputeRoute(.get, "os-migrations", .admin) { _ in .json(["migrations": []]) },
        ]
    }
}

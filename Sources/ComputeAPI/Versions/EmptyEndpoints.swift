import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// Kinds of things of which this cloud has none yet: their lists are empty.
struct EmptyEndpoints: ComputeEndpoints {
    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "os-migrations", .admin) { _ in .json(["migrations": []]) }
        ]
    }
}

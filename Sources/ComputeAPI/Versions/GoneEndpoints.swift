import HTTPKit
import HTTPTypes
import Hummingbird

/// What the compute API once had: 410 at every version.
struct GoneEndpoints: ComputeEndpoints {
    private static let paths: [(path: String, methods: [HTTPRequest.Method])] = [
        ("os-agents", [.get, .post]), ("os-agents/{id}", [.put, .delete]), ("os-cells", [.get, .post]),
        ("os-cells/{id}", [.get, .put, .delete]), ("os-cells/{id}/capacities", [.get]),
        ("os-cells/sync_instances", [.post]), ("os-certificates", [.post]), ("os-certificates/{id}", [.get]),
        ("os-cloudpipe", [.get, .post]), ("os-cloudpipe/{id}", [.put]), ("os-fixed-ips/{id}", [.get]),
        ("os-fixed-ips/{id}/action", [.post]), ("os-floating-ip-dns", [.get]),
        ("os-floating-ip-dns/{id}", [.put, .delete]), ("os-floating-ip-dns/{id}/entries/{sub}", [.get, .put, .delete]),
        ("os-floating-ips-bulk", [.get, .post]), ("os-floating-ips-bulk/{id}", [.get, .put]), ("os-fping", [.get]),
        ("os-fping/{id}", [.get]), ("os-networks", [.post]), ("os-networks/add", [.post]),
        ("os-networks/{id}", [.delete]), ("os-networks/{id}/action", [.post]),
        ("os-security-group-default-rules", [.get, .post]), ("os-security-group-default-rules/{id}", [.get, .delete]),
        ("os-tenant-networks", [.post]), ("os-tenant-networks/{id}", [.delete]),
        ("servers/{id}/consoles", [.get, .post]), ("servers/{id}/consoles/{sub}", [.get, .delete]),
        ("servers/{id}/os-virtual-interfaces", [.get]),
    ]

    var routes: [ComputeRoute] {
        Self.paths.flatMap { entry in
            entry.methods.map { method in
                ComputeRoute(method, entry.path, .any) { _ in
                    throw APIFault(.gone, "This resource was removed from the compute API.")
                }
            }
        }
    }
}

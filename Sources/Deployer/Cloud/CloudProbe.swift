import CloudModel
import FoundationEssentials
import Primitives
import Topology

/// Looks at the objects that a topology gives its cloud from the start. Objects that users made are left out of it.
struct CloudProbe: Sendable {
    let client: CloudClient
    let desired: [Resource]

    func observations() async throws -> [Resource.ID: ObservedFacts.Observation] {
        let kinds = Set(desired.map(\.id.kind))
        async let identity = kinds.isDisjoint(with: [.project, .user]) ? [:] : identity()
        async let flavors = kinds.contains(.flavor) ? flavors() : [:]
        async let networks = kinds.contains(.network) ? networks() : [:]
        async let images = kinds.contains(.image) ? images() : [:]
        var found = try await identity
        for part in [try await flavors, try await networks, try await images] {
            found.merge(part) { _, new in new }
        }
        return found
    }

    private func identity() async throws -> [Resource.ID: ObservedFacts.Observation] {
        async let allProjects = client.list("/identity/v3/projects", key: "projects")
        async let allUsers = client.list("/identity/v3/users", key: "users")
        let projects = Self.byName(try await allProjects)
        let users = Self.byName(try await allUsers)
        var found: [Resource.ID: ObservedFacts.Observation] = [:]
        for resource in desired {
            switch resource.specification {
            case .project(let project):
                guard let object = projects[project.name] else { continue }
                var attributes = ["description": object["description"]?.string ?? ""]
                if !project.quota.isEmpty, let id = object["id"]?.string {
                    let limits = try await ProjectQuota(client: client, project: id).attributes(project.quota)
                    attributes.merge(limits) { own, _ in own }
                }
                found[resource.id] = .present(attributes)
            case .user(let user):
                guard let object = users[user.name] else { continue }
                var roles: [String] = []
                if let project = projects[user.project]?["id"]?.string, let id = object["id"]?.string {
                    roles = try await client.list("/identity/v3/projects/\(project)/users/\(id)/roles", key: "roles")
                        .compactMap { $0["name"]?.string }
                }
                found[resource.id] = .present([
                    "project": roles.isEmpty ? "" : user.project,
                    "roles": roles.filter(user.roles.contains).sorted().joined(separator: ","),
                ])
            default: continue
            }
        }
        return found
    }

    private func flavors() async throws -> [Resource.ID: ObservedFacts.Observation] {
        let flavors = Self.byName(
            try await client.list("/compute/v2.1/flavors/detail?is_public=None", key: "flavors"))
        return collect { resource in
            guard case .flavor(let flavor) = resource.specification, let object = flavors[flavor.name] else {
                return nil
            }
            return [
                "vcpus": Self.number(object["vcpus"]), "memoryMiB": Self.number(object["ram"]),
                "diskGiB": Self.number(object["disk"]),
            ]
        }
    }

    private func networks() async throws -> [Resource.ID: ObservedFacts.Observation] {
        let networks = Self.byName(try await client.list("/network/v2.0/networks", key: "networks"))
        let subnets = try await client.list("/network/v2.0/subnets", key: "subnets")
        return collect { resource in
            guard case .network(let network) = resource.specification, let object = networks[network.name] else {
                return nil
            }
            let subnet = subnets.first { $0["network_id"] == object["id"] }
            let dns = subnet?["dns_nameservers"]?.array?.compactMap(\.string) ?? []
            return [
                "cidr": subnet?["cidr"]?.string ?? "", "gateway": subnet?["gateway_ip"]?.string ?? "",
                "dns": dns.joined(separator: ","), "shared": object["shared"] == .bool(true) ? "yes" : "no",
            ]
        }
    }

    private func images() async throws -> [Resource.ID: ObservedFacts.Observation] {
        let images = Self.byName(
            try await client.list("/image/v2/images", key: "images").filter { $0["status"]?.string == "active" })
        return collect { resource in
            guard case .image(let image) = resource.specification, let object = images[image.name] else { return nil }
            return [
                "diskFormat": object["disk_format"]?.string ?? "", "sha512": object["os_hash_value"]?.string ?? "",
            ]
        }
    }

    private func collect(
        _ attributes: (Resource) -> [String: String]?
    ) -> [Resource.ID: ObservedFacts.Observation] {
        var found: [Resource.ID: ObservedFacts.Observation] = [:]
        for resource in desired {
            if let attributes = attributes(resource) { found[resource.id] = .present(attributes) }
        }
        return found
    }

    private static func byName(_ objects: [JSONValue]) -> [String: JSONValue] {
        Dictionary(
            objects.compactMap { object in object["name"]?.string.map { ($0, object) } },
            uniquingKeysWith: { first, _ in first })
    }

    private static func number(_ value: JSONValue?) -> String { value?.integer.map { String($0) } ?? "" }
}

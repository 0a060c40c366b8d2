import CloudModel

/// Objects that the cloud has from the start; each waits for an API that answers.
extension DesiredStateBuilder {
    mutating func addBootstrap() {
        let gates = gates(.api, of: .root)
        let bootstrap = topology.bootstrap
        for project in bootstrap.projects {
            add(
                .init(
                    id: .init(.project, name: project.name), specification: .project(project),
                    attributes: ["description": project.description].merging(project.quota.attributes) { own, _ in own
                    },
                    dependsOn: gates))
        }
        for user in bootstrap.users {
            let project = Resource.ID(.project, name: user.project)
            add(
                .init(
                    id: .init(.user, name: user.name), specification: .user(user),
                    attributes: ["project": user.project, "roles": user.roles.sorted().joined(separator: ",")],
                    dependsOn: gates + (known.contains(project) ? [project] : [])))
        }
        for flavor in bootstrap.flavors {
            add(
                .init(
                    id: .init(.flavor, name: flavor.name), specification: .flavor(flavor),
                    attributes: [
                        "vcpus": String(flavor.vcpus), "memoryMiB": String(flavor.memoryMiB),
                        "diskGiB": String(flavor.diskGiB),
                    ], dependsOn: gates, effectOfChange: .replace))
        }
        for network in bootstrap.networks {
            add(
                .init(
                    id: .init(.network, name: network.name), specification: .network(network),
                    attributes: [
                        "cidr": network.cidr.description, "gateway": network.gateway,
                        "dns": network.dns.joined(separator: ","), "shared": network.shared ? "yes" : "no",
                    ], dependsOn: gates))
        }
        for image in bootstrap.images {
            add(
                .init(
                    id: .init(.image, name: image.name), specification: .image(image),
                    attributes: ["diskFormat": image.diskFormat.rawValue], dependsOn: gates, effectOfChange: .replace))
        }
    }
}

extension Topology.Quota {
    /// Prefix of the attributes of a project that are its limits.
    package static let attributePrefix = "quota."

    /// The limits that are given, as attributes: `quota.instances` = `10`.
    package var attributes: [String: String] {
        let limits = [
            "instances": instances, "vcpus": vcpus, "memoryMiB": memoryMiB, "keyPairs": keyPairs,
            "networks": networks, "ports": ports,
        ]
        return limits.reduce(into: [:]) { attributes, limit in
            if let value = limit.value { attributes[Self.attributePrefix + limit.key] = String(value) }
        }
    }
}

import CloudModel

extension ResourceSpecification {
    /// What an action does, as an operator reads it. Never a secret.
    func sentence(for reason: PlanReason) -> String {
        let isNew = reason == .absent
        let make = isNew ? "create" : "correct"
        return switch self {
        case .packages(let names): "install \(names.joined(separator: ", "))"
        case .account(let name, _): "\(make) account \(name)"
        case .directory(let directory): "\(make) folder \(directory.path)"
        case .file(let file): "write \(file.path)"
        case .unit(let unit): unitSentence(unit.name, reason)
        case .databaseRole(_, let name, _): "\(make) database role \(name)"
        case .database(_, let name, _): "\(make) database \(name)"
        case .brokerVhost(_, let name): "\(make) virtual host \(name)"
        case .brokerAdministrator: "\(make) the broker's administrator"
        case .brokerUser(_, let user): "\(make) broker user \(user.name)"
        case .brokerPermissions(_, _, let user): "permit broker user \(user.name) what a \(user.role.rawValue) may"
        case .schema(_, _, _, let name, _): "bring the schema of \(name) up to date"
        case .gate(_, let endpoint): "wait until \(endpoint.host):\(endpoint.port) answers"
        case .cellMapping(let mapping): "\(isNew ? "map" : "correct the mapping of") cell \(mapping.child)"
        case .hostQueue(_, _, let host): "declare the queue of host \(host)"
        case .project(let project): "\(make) project \(project.name)"
        case .user(let user): "\(make) user \(user.name)"
        case .flavor(let flavor): "\(make) flavor \(flavor.name)"
        case .network(let network): "\(make) network \(network.name)"
        case .image(let image): isNew ? "upload image \(image.name)" : "correct image \(image.name)"
        }
    }

    private func unitSentence(_ name: String, _ reason: PlanReason) -> String {
        guard case .differs(let differences) = reason else { return "start \(name)" }
        if differences.contains(where: { $0.attribute == "active" }) { return "start \(name)" }
        return differences.contains { $0.attribute == "inputs" } ? "have \(name) take its settings" : "enable \(name)"
    }
}

extension Resource.ID {
    var removalSentence: String {
        switch kind {
        case .packages: "remove packages \(name)"
        case .account: "remove account \(name)"
        case .directory: "remove folder \(name)"
        case .file: "remove \(name)"
        case .unit: "stop \(name)"
        case .databaseRole: "drop database role \(name)"
        case .database: "drop database \(name)"
        case .brokerVhost: "delete virtual host \(name)"
        case .brokerUser: "delete broker user \(name)"
        case .brokerPermissions: "revoke permissions of broker user \(name)"
        case .schema: "drop the schema of \(name)"
        case .gate: "stop watching \(name)"
        case .cellMapping: "unmap cell \(name)"
        case .hostQueue: "delete the queue of host \(name)"
        case .project: "delete project \(name)"
        case .user: "delete user \(name)"
        case .flavor: "delete flavor \(name)"
        case .network: "delete network \(name)"
        case .image: "delete image \(name)"
        }
    }
}

extension Resource.Kind {
    /// Whether it is kept by a database server or a broker.
    var isOnServer: Bool {
        switch self {
        case .databaseRole, .database, .schema, .brokerVhost, .brokerUser, .brokerPermissions: true
        case .packages, .account, .directory, .file, .unit, .gate, .cellMapping, .hostQueue, .project, .user, .flavor,
            .network, .image:
            false
        }
    }
}

extension Resource.ID {
    /// The one cell that it serves, as far as its name tells.
    var servedCell: CellPath? {
        if let cell { return cell }
        switch kind {
        case .databaseRole, .database, .brokerVhost: return CellPath(resourceName: name)
        case .brokerUser, .brokerPermissions:
            guard let dot = name.firstIndex(of: "."),
                let role = ProcessLayout.BrokerUser.Role(rawValue: String(name[..<dot])), role != .host
            else { return nil }
            return CellPath(slug: String(name[name.index(after: dot)...]))
        case .unit:
            for kind in [ProcessLayout.Kind.supervisor, .conductor] {
                let prefix = kind.binary + "-"
                guard name.hasPrefix(prefix), name.hasSuffix(".service") else { continue }
                return CellPath(slug: String(name.dropFirst(prefix.count).dropLast(".service".count)))
            }
            return nil
        case .packages, .account, .directory, .file, .schema, .gate, .cellMapping, .hostQueue, .project, .user,
            .flavor, .network, .image:
            return nil
        }
    }
}

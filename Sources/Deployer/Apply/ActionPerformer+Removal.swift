import CloudModel
import MessageBus
import Topology

/// Removing what the topology no longer wants.
extension ActionPerformer {
    func remove(_ id: Resource.ID) async throws {
        switch id.kind {
        case .directory, .file, .unit: try await removeFromHost(id)
        case .databaseRole:
            let (connection, script) = try access.database(try access.databaseServer(at: id.host))
            try await connection.check("drop role \(id.name)", script.removeRole(id.name))
        case .database:
            let (connection, script) = try access.database(try access.databaseServer(at: id.host))
            try await connection.check("drop database \(id.name)", script.removeDatabase(id.name))
        case .brokerVhost:
            try await askBroker(id, [BrokerAdministration.deleteVHost(id.name)])
        case .brokerUser:
            // The account that this goes through: what still needs it comes before, see `Destruction`.
            if id.name == ResourceSpecification.brokerAdministratorName { return }
            try await askBroker(id, [BrokerAdministration.deleteUser(id.name)])
        case .brokerPermissions:
            // They go with the user and with the virtual host, of which at least one is going.
            return
        case .hostQueue:
            guard let cell = id.cell, let server = brokerServer(of: cell) else { return }
            try await ask(
                server, [BrokerAdministration.deleteQueue("host.\(id.name)", vhost: cell.resourceName)],
                what: "delete the queue of host \(id.name)")
        case .gate, .schema, .packages, .account: return
        case .cellMapping: try await unmap(id)
        case .project, .user, .flavor, .network, .image:
            throw RemovalFailure(what: id.removalSubject)
        }
    }

    /// By the parent's supervisor, on the first of its hosts that can be reached.
    private func unmap(_ id: Resource.ID) async throws {
        guard let path = id.cell, let parent = path.parent else { return }
        let supervisors = layout.processes.filter { $0.kind == .supervisor && $0.cell == parent }
        guard let process = supervisors.first(where: { hosts.connections[$0.host] != nil }) ?? supervisors.first
        else { throw RemovalFailure(what: id.removalSubject) }
        try await tool(
            ["cell", "remove", path.description], on: process.host,
            configuration: process.configurationPath, input: nil, what: "unmap cell \(path)")
    }

    private func removeFromHost(_ id: Resource.ID) async throws {
        guard let name = id.host else { return }
        let host = try hosts.connection(name)
        switch id.kind {
        case .unit:
            try await host.check("stop \(id.name)", HostScript.stopUnit(id.name), timeout: Self.unitTimeout)
        case .file:
            let reload = id.name.hasPrefix(ProcessLayout.Paths.units) ? "\nsystemctl daemon-reload" : ""
            try await host.check("remove \(id.name)", HostScript.removeFile(id.name) + reload)
        default:
            let script =
                HostProbe.folders.contains(id.name)
                ? HostScript.removeTree(id.name) : HostScript.removeEmptyFolder(id.name)
            try await host.check("remove \(id.name)", script)
        }
    }

    private func askBroker(_ id: Resource.ID, _ requests: [BrokerRequest]) async throws {
        try await ask(try access.brokerServer(at: id.host), requests, what: "remove \(id.name)")
    }

    private func brokerServer(of path: CellPath) -> ResourceSpecification.BrokerServer? {
        settings.topology.cell(path)?.brokerServer
    }
}

package struct RemovalFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let what: String

    package var description: String {
        "\(what) is no longer in the topology, and this version cannot take it out of a cloud that runs: "
            + "put it back, or end the whole cloud with `cellwright destroy`"
    }
}

extension Resource.ID {
    /// What a person calls it.
    var removalSubject: String {
        switch kind {
        case .cellMapping: "cell \(name)"
        case .database, .databaseRole, .brokerVhost: "\(kind.rawValue) \(name)"
        default: "\(kind.rawValue) \(name)"
        }
    }
}

import CloudModel

/// A cell's database, virtual host, schema and its entry at its parent.
extension DesiredStateBuilder {
    mutating func addCellStores(_ cell: Topology.Cell) {
        let database = cell.databaseServer
        let name = cell.path.resourceName
        let databaseReady = database.host.map { [unitID(DebianFiles.postgresUnit, $0)] } ?? []
        let role = Resource.ID(.databaseRole, host: database.place, name: name)
        add(
            .init(
                id: role, specification: .databaseRole(database, name: name, password: .database(cell.path)),
                attributes: ["password": "current", "superuser": "no", "login": "yes"], dependsOn: databaseReady,
                cell: cell.path))
        add(
            .init(
                id: databaseID(cell), specification: .database(database, name: name, owner: name),
                attributes: ["owner": name, "publicConnect": "no"], dependsOn: [role], cell: cell.path))
        let broker = cell.brokerServer
        let brokerReady =
            broker.host.map {
                [Resource.ID(.brokerUser, host: $0, name: ResourceSpecification.brokerAdministratorName)]
            } ?? []
        let vhost = Resource.ID(.brokerVhost, host: broker.place, name: name)
        add(
            .init(
                id: vhost, specification: .brokerVhost(broker, name: name), attributes: [:], dependsOn: brokerReady,
                cell: cell.path))
        for user in index.users[cell.path] ?? [] { addBrokerUser(user, of: cell) }
    }

    mutating func addBrokerUser(_ user: ProcessLayout.BrokerUser, of cell: Topology.Cell) {
        let broker = cell.brokerServer
        let name = cell.path.resourceName
        let vhost = Resource.ID(.brokerVhost, host: broker.place, name: name)
        let id = Resource.ID(.brokerUser, host: broker.place, name: user.name)
        add(
            .init(
                id: id, specification: .brokerUser(broker, user), attributes: ["password": "current", "tags": ""],
                dependsOn: [vhost], cell: cell.path))
        add(
            .init(
                id: permissionsID(user), specification: .brokerPermissions(broker, vhost: name, user),
                attributes: user.permissionAttributes, dependsOn: [id, vhost], cell: cell.path))
    }

    mutating func addSchema(_ cell: Topology.Cell) {
        guard let process = supervisor(of: cell.path) else { return }
        let binary = inputs.binaries[process.binary] ?? ""
        add(
            .init(
                id: schemaID(cell.path),
                specification: .schema(
                    host: process.host, configurationPath: process.configurationPath,
                    database: cell.databaseServer, name: cell.path.resourceName, migratedBy: binary),
                attributes: ["migratedBy": binary], dependsOn: [databaseID(cell)] + fileIDs(of: process),
                cell: cell.path))
    }

    mutating func addMapping(_ cell: Topology.Cell) {
        guard let parent = cell.path.parent, let process = supervisor(of: parent),
            let user = index.users[cell.path]?.first(where: { $0.role == .parent }),
            let own = supervisor(of: cell.path), case .supervisor(let settings) = own.configuration
        else { return }
        var bus = settings.bus
        bus.user = user.name
        bus.passwordFile = ""
        let mapping = ResourceSpecification.CellMapping(
            host: process.host, parentConfigurationPath: process.configurationPath, child: cell.path, bus: bus,
            authority: cell.brokerServer.host == nil ? bus.tls?.authority : nil, password: user.secret)
        add(
            .init(
                id: .init(.cellMapping, cell: cell.path, name: cell.name), specification: .cellMapping(mapping),
                attributes: [
                    "path": cell.path.description, "host": bus.host, "port": String(bus.port), "vhost": bus.vhost,
                    "user": bus.user, "tls": bus.tls == nil ? "no" : "yes",
                    "authority": mapping.authority ?? "",
                ],
                dependsOn: gates(.supervisor, of: cell.path) + gates(.conductor, of: cell.path)
                    + gates(.supervisor, of: parent) + [permissionsID(user)],
                dependsOnAny: gates(.compute, of: cell.path),
                cell: cell.path))
    }
}

extension Topology.Cell {
    package var databaseServer: ResourceSpecification.DatabaseServer {
        switch database {
        case .embedded(let server): .embedded(server)
        case .existing(let server): .existing(server)
        }
    }

    package var brokerServer: ResourceSpecification.BrokerServer {
        switch broker {
        case .embedded(let server): .embedded(server)
        case .existing(let server): .existing(server)
        }
    }
}

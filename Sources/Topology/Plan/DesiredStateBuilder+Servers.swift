import CloudModel

/// PostgreSQL and RabbitMQ on our hosts.
extension DesiredStateBuilder {
    mutating func addDatabaseServers() {
        var servers: [Topology.EmbeddedDatabase: [Topology.Cell]] = [:]
        for cell in topology.cells {
            if case .embedded(let server) = cell.database { servers[server, default: []].append(cell) }
        }
        for (server, cells) in servers.sorted(by: { $0.key.host < $1.key.host }) {
            let packages = packagesID("database", server.host)
            let certificate = index.layout.databaseCertificates[server.host]
            let access = DebianFiles.postgresAccess(
                cells.map { ($0.path.resourceName, clientAddresses(of: $0)) }, usesTLS: certificate != nil)
            // The server itself says which of these it has read: see DebianFiles.postgresInputsSetting.
            let digest = ContentDigest.of(
                "\(server.port) \(ContentDigest.of(access))\(certificate.map(certificateDigest) ?? "")")
            let settings = DebianFiles.postgresSettings(
                port: server.port, inputs: digest, certificate: certificate?.path)
            let files =
                [
                    addFile(
                        "\(DebianFiles.postgresFolder)/pg_hba.conf", mode: "0640", owner: "postgres", .text(access),
                        on: server.host, after: [packages]),
                    addFile(
                        "\(DebianFiles.postgresFolder)/conf.d/cellwright.conf", mode: "0644", owner: "postgres",
                        .text(settings), on: server.host, after: [packages]),
                ] + addCertificate(certificate, after: [packages])
            add(
                .init(
                    id: unitID(DebianFiles.postgresUnit, server.host),
                    specification: .unit(.init(name: DebianFiles.postgresUnit, inputs: digest)),
                    attributes: [
                        "active": "yes", "enabled": "yes", "inputs": digest, "pendingRestart": "no",
                        "port": String(server.port),
                    ],
                    dependsOn: [packages] + files, effectOfChange: .reload))
        }
    }

    mutating func addBrokerServers() {
        var servers: Set<Topology.EmbeddedBroker> = []
        for cell in topology.cells {
            if case .embedded(let server) = cell.broker { servers.insert(server) }
        }
        for server in servers.sorted(by: { $0.host < $1.host }) {
            let packages = packagesID("broker", server.host)
            let certificate = index.layout.brokerCertificates[server.host]
            let texts = [
                "/etc/rabbitmq/rabbitmq.conf": DebianFiles.rabbitSettings(server, certificate: certificate?.path),
                "/etc/rabbitmq/enabled_plugins": DebianFiles.rabbitPlugins,
                "/etc/rabbitmq/rabbitmq-env.conf": DebianFiles.rabbitEnvironment,
            ]
            let files = texts.sorted { $0.key < $1.key }.map { path, text in
                addFile(path, mode: "0644", owner: "root", .text(text), on: server.host, after: [packages])
            }
            // Not among what it was started with: it reads a new certificate by itself, within two minutes.
            let certificates = addCertificate(certificate, after: [packages])
            addServerUnit(
                DebianFiles.rabbitUnit, parts: texts, on: server.host, after: [packages] + files + certificates)
            let name = ResourceSpecification.brokerAdministratorName
            add(
                .init(
                    id: .init(.brokerUser, host: server.host, name: name),
                    specification: .brokerAdministrator(.embedded(server), password: .brokerAdministrator(server.host)),
                    attributes: ["password": "current", "tags": "administrator"],
                    dependsOn: [unitID(DebianFiles.rabbitUnit, server.host)]))
        }
    }

    /// A unit of Debian's with a drop-in that tells which files it was started with.
    mutating func addServerUnit(
        _ unit: String, parts: [String: String], on host: HostName, after: [Resource.ID]
    ) {
        let digest = ContentDigest.of(parts)
        let dropIn = DebianFiles.dropInPath(unit)
        let folder = String(dropIn.prefix(upTo: dropIn.lastIndex(of: "/") ?? dropIn.endIndex))
        addDirectory(folder, mode: "0755", owner: "root", on: host)
        let file = addFile(
            dropIn, mode: "0644", owner: "root", .text(DebianFiles.inputsDropIn(digest)), on: host,
            after: after + [directoryID(folder, host)])
        add(
            .init(
                id: unitID(unit, host), specification: .unit(.init(name: unit, inputs: digest)),
                attributes: ["active": "yes", "enabled": "yes", "inputs": digest], dependsOn: after + [file],
                effectOfChange: .restart))
    }
}

import CloudModel
import Primitives

/// Derives a ``ProcessLayout``'s parts.
struct ProcessLayoutBuilder {
    let topology: Topology
    private let addresses: [HostName: String]
    private let usesTLS: Bool

    init(topology: Topology) {
        self.topology = topology
        usesTLS = topology.usesTLS
        addresses = Dictionary(
            topology.hosts.map { ($0.name, $0.reachableAt) }, uniquingKeysWith: { first, _ in first })
    }

    func processes() -> [ProcessLayout.Process] {
        let cells = topology.cells
        let leaves = cells.filter(\.isLeaf)
        return cells.concurrentMap { cell in cell.controlHosts.map { supervisor(of: cell, on: $0) } }.flatMap(\.self)
            + topology.api.hosts.map(api)
            + leaves.concurrentMap { cell in cell.controlHosts.map { conductor(of: cell, on: $0) } }.flatMap(\.self)
            + leaves.concurrentMap { cell in cell.hosts.map { compute($0, of: cell) } }.flatMap(\.self)
    }

    func brokerUsers() -> [ProcessLayout.BrokerUser] {
        topology.cells.flatMap { cell in
            var users = [user(.supervisor, cell)]
            users.append(cell.path.isRoot ? user(.api, cell) : user(.parent, cell))
            if cell.isLeaf { users.append(user(.conductor, cell)) }
            return users + cell.hosts.map { user(.host, cell, $0.name) }
        }
    }

    /// Secrets that no process reads: the tool's own.
    func administrators() -> [SecretName] {
        let brokers = topology.cells.compactMap { cell -> SecretName? in
            guard case .embedded(let server) = cell.broker else { return nil }
            return .brokerAdministrator(server.host)
        }
        let users = topology.bootstrap.users.map(\.name) + [BootstrapReader.administrator]
        return brokers + users.map { .user($0) }
    }

    private func user(
        _ role: ProcessLayout.BrokerUser.Role, _ cell: Topology.Cell, _ host: HostName? = nil
    ) -> ProcessLayout.BrokerUser {
        .init(name: "\(role.rawValue).\(host?.text ?? cell.path.slug)", role: role, cell: cell.path, host: host)
    }

    private func supervisor(of cell: Topology.Cell, on host: HostName) -> ProcessLayout.Process {
        let user = user(.supervisor, cell)
        return process(
            .supervisor, cell: cell, host: host, suffix: "-\(cell.path.slug)",
            secrets: [.database(cell.path), user.secret],
            .supervisor(
                .init(
                    cell: .init(cell), identity: "\(host)-1", database: database(cell, .supervisor),
                    bus: bus(cell, user, .supervisor), tls: tls(of: .supervisor, cell),
                    ops: .init(host: cell.path.opsAddress, port: 9101))))
    }

    private func conductor(of cell: Topology.Cell, on host: HostName) -> ProcessLayout.Process {
        let user = user(.conductor, cell)
        return process(
            .conductor, cell: cell, host: host, suffix: "-\(cell.path.slug)",
            secrets: [.database(cell.path), user.secret],
            .conductor(
                .init(
                    cell: .init(cell), identity: "\(host)-1", database: database(cell, .conductor),
                    bus: bus(cell, user, .conductor), ops: .init(host: cell.path.opsAddress, port: 9102))))
    }

    private func api(on host: HostName) -> ProcessLayout.Process {
        let user = user(.api, topology.root)
        return process(
            .api, cell: topology.root, host: host, suffix: "",
            secrets: [.database(.root), user.secret, .tokenKey],
            .api(
                .init(
                    listen: .init(host: topology.api.listenAddress(on: host), port: topology.api.port),
                    tls: tls(of: .api, suffix: ""), publicURL: topology.publicURL, region: topology.region,
                    database: database(topology.root, .api), bus: bus(topology.root, user, .api),
                    tokenKeyFile: secretFile(.tokenKey).path, imageDirectory: ProcessLayout.Paths.images,
                    passwordHash: .init(cost: ProcessLayout.passwordHashCost))))
    }

    private func compute(_ host: Topology.Host, of cell: Topology.Cell) -> ProcessLayout.Process {
        let user = user(.host, cell, host.name)
        let driver = host.hypervisor.driver
        return process(
            .compute, cell: cell, host: host.name, suffix: "", secrets: [user.secret],
            .compute(
                .init(
                    host: host.name.text, cell: cell.path.description, bus: bus(cell, user, .compute),
                    hypervisor: .init(
                        driver: driver.rawValue, uri: driver == .libvirt ? host.hypervisor.uri : nil,
                        virtType: host.hypervisor.virtType.rawValue),
                    imageURL: imageURLs.first ?? "", imageAuthority: usesTLS ? ProcessLayout.Paths.authority : nil,
                    stateDirectory: ProcessLayout.Paths.computeState,
                    ops: .init(host: "127.0.0.1", port: 9103),
                    capacity: host.capacity.isEmpty ? nil : host.capacity,
                    availabilityZone: host.availabilityZone)))
    }

    private func process(
        _ kind: ProcessLayout.Kind, cell: Topology.Cell, host: HostName, suffix: String, secrets: [SecretName],
        _ configuration: ProcessConfiguration
    ) -> ProcessLayout.Process {
        let account = kind == .compute ? ProcessLayout.computeAccount : ProcessLayout.serviceAccount
        // A control process is known to its database server by the certificate, which bears the role's name.
        let commonName = kind == .compute ? "host.\(host)" : cell.path.resourceName
        return .init(
            kind: kind, host: host, cell: cell.path, unit: "\(kind.binary)\(suffix).service", account: account,
            configurationPath: "\(ProcessLayout.Paths.configuration)/\(kind.rawValue)\(suffix).json",
            configuration: configuration, secrets: secrets.map(secretFile),
            certificate: certificate(
                "\(kind.rawValue)\(suffix)", on: host, owner: account, commonName: commonName,
                also: kind == .api ? Self.namesOnHost + publicNames : []),
            authorities: authorities(of: kind, cell), imageReplicas: kind == .compute ? imageReplicas : nil)
    }

    // MARK: Certificates

    /// Certificates of the servers of one role, by host.
    func serverCertificates(of role: HostRole) -> [HostName: ProcessLayout.Certificate] {
        var hosts: Set<HostName> = []
        for cell in topology.cells {
            if role == .database, case .embedded(let server) = cell.database { hosts.insert(server.host) }
            if role == .broker, case .embedded(let server) = cell.broker { hosts.insert(server.host) }
        }
        let part = role == .database ? "postgresql" : "rabbitmq"
        let owner = role == .database ? "postgres" : "rabbitmq"
        var found: [HostName: ProcessLayout.Certificate] = [:]
        for host in hosts {
            found[host] = certificate(part, on: host, owner: owner, commonName: host.text, also: Self.namesOnHost)
        }
        return found
    }

    private static let namesOnHost = ["localhost", "127.0.0.1"]

    /// Host of the URL that users are told.
    private var publicNames: [String] {
        [URLParts(topology.publicURL).endpoint(defaultPort: topology.api.port).host]
    }

    private func certificate(
        _ part: String, on host: HostName, owner: String, commonName: String, also names: [String]
    ) -> ProcessLayout.Certificate? {
        guard usesTLS else { return nil }
        var addresses = [host.text]
        for name in [address(host)] + names where !addresses.contains(name) { addresses.append(name) }
        return .init(
            name: .certificate(part, host), host: host, path: "\(ProcessLayout.Paths.certificates)/\(part).pem",
            owner: owner, commonName: commonName, addresses: addresses)
    }

    private func tls(of kind: ProcessLayout.Kind, suffix: String) -> ProcessConfiguration.TLS? {
        guard usesTLS else { return nil }
        return .init(
            authority: ProcessLayout.Paths.authority,
            certificate: "\(ProcessLayout.Paths.certificates)/\(kind.rawValue)\(suffix).pem")
    }

    private func tls(of kind: ProcessLayout.Kind, _ cell: Topology.Cell) -> ProcessConfiguration.TLS? {
        switch kind {
        case .supervisor, .conductor: tls(of: kind, suffix: "-\(cell.path.slug)")
        case .api, .compute: tls(of: kind, suffix: "")
        }
    }

    // MARK: Servers

    private func database(_ cell: Topology.Cell, _ kind: ProcessLayout.Kind) -> ProcessConfiguration.Database {
        let endpoint: ProcessConfiguration.Endpoint
        var tls: ProcessConfiguration.TLS?
        switch cell.database {
        case .embedded(let server):
            endpoint = .init(host: address(server.host), port: server.port)
            tls = self.tls(of: kind, cell)
        case .existing(let server):
            endpoint = server.endpoint(defaultPort: Topology.EmbeddedDatabase.defaultPort)
            tls = self.tls(of: server, .database, cell)
        }
        return .init(
            host: endpoint.host, port: endpoint.port, name: cell.path.resourceName, user: cell.path.resourceName,
            passwordFile: secretFile(.database(cell.path)).path, tls: tls)
    }

    private func bus(
        _ cell: Topology.Cell, _ user: ProcessLayout.BrokerUser, _ kind: ProcessLayout.Kind
    ) -> ProcessConfiguration.Bus {
        let endpoint: ProcessConfiguration.Endpoint
        var tls: ProcessConfiguration.TLS?
        switch cell.broker {
        case .embedded(let server):
            endpoint = .init(host: address(server.host), port: server.port)
            tls = self.tls(of: kind, cell)
        case .existing(let server):
            endpoint = server.brokerEndpoint
            tls = self.tls(of: server, .broker, cell)
        }
        return .init(
            host: endpoint.host, port: endpoint.port, vhost: cell.path.resourceName, user: user.name,
            passwordFile: secretFile(user.secret).path, tls: tls)
    }

    // MARK: Existing servers

    /// Password and role are all that it asks for: certificates of the cloud's authority mean nothing to it.
    private func tls(
        of server: Topology.ExistingServer, _ role: HostRole, _ cell: Topology.Cell
    ) -> ProcessConfiguration.TLS? {
        guard topology.usesTLS(server) else { return nil }
        return .init(
            authority: authority(of: server, role, cell)?.path ?? ProcessLayout.Paths.systemAuthorities)
    }

    private func authority(
        of server: Topology.ExistingServer, _ role: HostRole, _ cell: Topology.Cell
    ) -> ProcessLayout.AuthorityFile? {
        guard topology.usesTLS(server), let file = server.caFile else { return nil }
        return .init(
            path: "\(ProcessLayout.Paths.certificates)/\(role.rawValue)-\(cell.path.slug).pem", source: file)
    }

    /// A parent connects to its children's brokers, too; so does the API, to the root's.
    private func authorities(
        of kind: ProcessLayout.Kind, _ cell: Topology.Cell
    ) -> [ProcessLayout.AuthorityFile] {
        let isParent = kind == .supervisor || kind == .api
        let brokers = [cell] + (isParent ? cell.children : [])
        var files: [ProcessLayout.AuthorityFile?] = brokers.map { cell in
            if case .existing(let server) = cell.broker { authority(of: server, .broker, cell) } else { nil }
        }
        if kind != .compute, case .existing(let server) = cell.database {
            files.append(authority(of: server, .database, cell))
        }
        return files.compactMap(\.self)
    }

    /// Agents reach the API on the operators' network, whatever URL users are told.
    private var imageURLs: [String] {
        topology.api.hosts.map { "\(usesTLS ? "https" : "http")://\(address($0)):\(topology.api.port)/image" }
    }

    /// A file of its own, so that another replica restarts no agent.
    private var imageReplicas: ProcessLayout.TextFile? {
        guard topology.api.hosts.count > 1 else { return nil }
        return .init(
            path: ProcessLayout.Paths.imageReplicas, text: imageURLs.dropFirst().map { $0 + "\n" }.joined())
    }

    private func address(_ host: HostName) -> String { addresses[host] ?? host.text }

    private func secretFile(_ name: SecretName) -> ProcessLayout.SecretFile {
        .init(name: name, path: "\(ProcessLayout.Paths.secrets)/\(name)")
    }
}

extension CellPath {
    /// A loopback address of the cell's own, so that many cells' processes share a host with fixed ports and a cell that
    /// is added moves no other's. The root has 127.0.0.1. 24 bits of a hash of the path.
    var opsAddress: String {
        guard !isRoot else { return "127.0.0.1" }
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in description.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let octets = [hash >> 40, hash >> 24, hash >> 8].map { 1 + ($0 & 0xffff) % 254 }
        return "127.\(octets[0]).\(octets[1]).\(octets[2])"
    }
}

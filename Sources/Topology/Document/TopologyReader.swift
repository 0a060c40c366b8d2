import CloudModel

/// Makes the model from a document's tree and checks what keys and types can't say: names, references, conflicts.
///
/// What ``ShapeChecker`` reports is passed over silently here.
struct TopologyReader {
    /// Hosts that a topology may have.
    static let hostLimit = 200_000
    /// Characters of a cell's path as one word, so that names made of it fit PostgreSQL's 63 bytes.
    static let slugLimit = 52
    static let reservedCellNames: Set<String> = ["root"]

    /// What a cell takes from its parent.
    private struct Inheritance {
        var control: [HostName]
        var database: Topology.Database
        var broker: Topology.Broker
        var settings: HostSettings
    }

    var problems: [TopologyProblem] = []
    private var hostPlaces: [HostName: DocumentNode.Position] = [:]
    private var addressPlaces: [String: DocumentNode.Position] = [:]
    private var references: [(name: HostName, position: DocumentNode.Position)] = []
    /// Names that were refused elsewhere: no second complaint when they are referred to.
    private var refusedNames: Set<String> = []
    private var hasTooManyHosts = false
    private var opsAddresses: [String: CellPath] = [:]
    var servers = EmbeddedServers()
    private var lab: Topology.Lab?

    mutating func read(_ node: DocumentNode) -> Topology {
        lab = node[.lab].map { readLab($0) }
        let settings = HostSettings().overridden(by: node[.defaults])
        let machines = readHosts(node[.hosts], settings)
        let claims = RoleClaims(node[.hosts])
        checkClaims(node[.hosts], areMachines: true)
        let control = readRootControl(node, machines, claims)
        let first = control.first ?? ""
        let database = readDatabase(node[.root]?[.database], control: first, inherited: nil, claims)
        let broker = readBroker(node[.root]?[.broker], control: first, inherited: nil, claims)
        let inheritance = Inheritance(control: control, database: database, broker: broker, settings: settings)
        let cells = readCells(node[.cells], below: .root, inheritance)
        let api = readAPI(node[.api], control: first, .all(in: node))
        let services = readServices(node[.services])
        checkReferences()
        if let networkNode = node[.lab]?[.network] ?? node[.lab], let lab, hostPlaces.count > lab.network.hostCount - 10
        {
            report(
                networkNode.position, .badValue,
                "the lab's network \(lab.network) has no room for \(hostPlaces.count) hosts")
        }
        var bootstrap = BootstrapReader(lab: lab)
        let objects = bootstrap.read(node[.bootstrap])
        problems += bootstrap.problems + servers.problems
        return Topology(
            name: node[.name]?.text ?? "", region: node[.region]?.text ?? Topology.defaultRegion, lab: lab,
            tls: node[.tls]?.choice() ?? .auto,
            certificates: .init(
                validDays: node[.certificates]?[.validDays]?.integer ?? Topology.CertificateSettings.defaultValidDays,
                renewDays: node[.certificates]?[.renewDays]?.integer ?? Topology.CertificateSettings.defaultRenewDays),
            api: api, services: services,
            root: .init(
                path: .root, controlHosts: control, database: database, broker: broker, content: .children(cells)),
            machines: machines, bootstrap: objects)
    }

    // MARK: Parts

    private func readLab(_ node: DocumentNode) -> Topology.Lab {
        let network = IPv4Network(node[.network]?.text ?? Topology.Lab.defaultNetwork)
        return Topology.Lab(network: network ?? IPv4Network(address: IPv4Address(number: 0), prefixLength: 8))
    }

    private mutating func readAPI(_ node: DocumentNode?, control: HostName, _ claims: RoleClaims) -> Topology.API {
        var hosts = assigned(.api, node?[.host], key: "host", claims)
        if hosts.isEmpty { hosts = [control] }
        return Topology.API(
            hosts: hosts, listenAddresses: readListenAddresses(node?[.listen], hosts: hosts),
            port: node?[.port]?.integer ?? Topology.API.defaultPort, publicURL: node?[.publicURL]?.text)
    }

    private mutating func readListenAddresses(_ node: DocumentNode?, hosts: [HostName]) -> [String] {
        guard let node else { return [Topology.API.defaultListenAddress] }
        guard node.kind == .sequence else { return [node.text ?? Topology.API.defaultListenAddress] }
        if node.items.count != hosts.count {
            report(
                node.position, .badValue,
                "\"listen\" has \(Counted(node.items.count, "address", "addresses")), the API \(Counted(hosts.count, "host"))"
            )
        }
        return node.items.compactMap(\.text)
    }

    private mutating func readRootControl(
        _ node: DocumentNode, _ machines: [Topology.Host], _ claims: RoleClaims
    ) -> [HostName] {
        let assigned = assigned(.control, node[.root]?[.control], key: "control", claims)
        if !assigned.isEmpty || node[.root]?[.control] != nil { return assigned }
        if let only = machines.first, machines.count == 1 { return [only.name] }
        let reason = machines.isEmpty ? "\"hosts\" lists no machine" : "\"hosts\" lists \(machines.count) machines"
        report(
            (node[.root] ?? node).position, .missingKey, "the root needs the key \"control\", because \(reason)")
        return []
    }

    private mutating func readCells(
        _ node: DocumentNode?, below parent: CellPath, _ inheritance: Inheritance
    ) -> [Topology.Cell] {
        var places: [String: DocumentNode.Position] = [:]
        return (node?.items ?? []).compactMap { item in
            let nameNode = item[.name]
            guard let name = nameNode?.text, let path = parent.child(name) else {
                // Its hosts are still looked at, so that their mistakes and names are known.
                _ = readCell(item, path: parent, inheritance)
                return nil
            }
            let position = nameNode?.position ?? item.position
            if let first = places[name] {
                report(position, .duplicateName, "cell \"\(path)\" is given twice; the first is in line \(first.line)")
            } else if Self.reservedCellNames.contains(name) {
                report(position, .badValue, "a cell must not be called \"\(name)\"")
            } else if path.slug.utf8.count > Self.slugLimit {
                report(position, .badValue, "the path \"\(path)\" must have at most \(Self.slugLimit) characters")
            }
            if let other = opsAddresses.updateValue(path, forKey: path.opsAddress), other != path {
                report(
                    position, .conflict,
                    "\"\(path)\" and \"\(other)\" would by chance get the same loopback address; rename one of them")
            }
            places[name] = places[name] ?? position
            return readCell(item, path: path, inheritance)
        }
    }

    private mutating func readCell(
        _ node: DocumentNode, path: CellPath, _ inherited: Inheritance
    ) -> Topology.Cell {
        let claims = RoleClaims(node[.hosts])
        checkClaims(node[.hosts], areMachines: false)
        let own = assigned(.control, node[.control], key: "control", claims)
        let control = own.isEmpty ? inherited.control : own
        let first = control.first ?? ""
        let inheritance = Inheritance(
            control: control,
            database: readDatabase(
                node[.database], control: first, inherited: own.isEmpty ? inherited.database : nil, claims),
            broker: readBroker(node[.broker], control: first, inherited: own.isEmpty ? inherited.broker : nil, claims),
            settings: inherited.settings.overridden(by: node[.defaults]))
        if node[.cells] != nil, let hosts = node.members.first(where: { $0.key == TopologyKey.hosts.rawValue }) {
            report(hosts.keyPosition, .conflict, "cell \"\(path)\" has both cells and hosts; it may have one of them")
        } else if node[.cells] == nil, node[.hosts] == nil, node.kind == .mapping {
            report(
                node.position, .missingKey, "a cell needs the key \"cells\" or \"hosts\", which may be an empty list")
        }
        let children = readCells(node[.cells], below: path, inheritance)
        let hosts = readHosts(node[.hosts], inheritance.settings)
        return Topology.Cell(
            path: path, controlHosts: control, database: inheritance.database, broker: inheritance.broker,
            content: node[.cells] == nil ? .hosts(hosts) : .children(children))
    }

    // MARK: Hosts

    private mutating func readHosts(_ node: DocumentNode?, _ settings: HostSettings) -> [Topology.Host] {
        (node?.items ?? []).flatMap { readHost($0, settings) }
    }

    private mutating func readHost(_ node: DocumentNode, _ inherited: HostSettings) -> [Topology.Host] {
        let nameNode = node.kind == .mapping ? node[.name] : node
        guard let nameNode, let pattern = nameNode.text else { return [] }
        guard TextFormat.hostPattern.accepts(pattern), let names = try? HostRange.expand(pattern) else {  // reported
            refusedNames.insert(pattern)
            return []
        }
        let addresses = readAddresses(node[.address], names: names)
        let settings = inherited.overridden(by: node.kind == .mapping ? node : nil)
        return names.enumerated().map { index, name in
            let host = Topology.Host(
                name: HostName(name), address: addresses.map { $0[index] }, ssh: settings.ssh,
                hypervisor: settings.hypervisor, capacity: settings.capacity,
                availabilityZone: settings.availabilityZone, labels: settings.labels)
            register(host, name: nameNode.position, address: node[.address]?.position ?? nameNode.position)
            return host
        }
    }

    /// One address a name; outside a lab a host without one is reached by its name.
    private mutating func readAddresses(_ node: DocumentNode?, names: [String]) -> [String]? {
        guard let node, let pattern = node.text, TextFormat.addressPattern.accepts(pattern),
            let addresses = try? HostRange.expand(pattern)  // reported by the shape
        else { return lab == nil ? names : nil }
        guard addresses.count == names.count else {
            report(node.position, .badValue, "\"address\" stands for \(addresses.count), \"name\" for \(names.count)")
            return names
        }
        if let lab {
            for text in addresses {
                guard let address = IPv4Address(text), lab.network.contains(address) else {
                    report(node.position, .badValue, "address \"\(text)\" is not in the lab's network \(lab.network)")
                    continue
                }
                let edges = [lab.network.address, lab.gateway, lab.network.host(lab.network.hostCount + 1)]
                guard !edges.contains(address) else {
                    report(
                        node.position, .badValue,
                        "address \"\(text)\" is taken: hosts may have those after \(lab.gateway)")
                    continue
                }
            }
        }
        return addresses
    }

    private mutating func register(
        _ host: Topology.Host, name position: DocumentNode.Position, address addressPosition: DocumentNode.Position
    ) {
        if let first = hostPlaces[host.name] {
            report(
                position, .duplicateName, "host \"\(host.name)\" is given twice; the first is in line \(first.line)")
            return
        }
        hostPlaces[host.name] = position
        if hostPlaces.count > Self.hostLimit, !hasTooManyHosts {
            hasTooManyHosts = true
            report(position, .tooLarge, "a topology may have at most \(Self.hostLimit) hosts")
        }
        guard let address = host.address?.lowercased() else { return }
        if let first = addressPlaces[address] {
            report(
                addressPosition, .duplicateAddress,
                "address \"\(address)\" is given twice; the first is in line \(first.line)")
        } else {
            addressPlaces[address] = addressPosition
        }
    }

    // MARK: References

    /// One host or a list of them; remembered for ``checkReferences()``.
    mutating func readReferences(_ node: DocumentNode?) -> [HostName] {
        guard let node else { return [] }
        var names: [HostName] = []
        for item in node.kind == .sequence ? node.items : [node] {
            guard let name = readReference(item) else { continue }
            if names.contains(name) {
                report(item.position, .duplicateName, "host \"\(name)\" is listed twice")
            } else {
                names.append(name)
            }
        }
        if node.kind == .sequence, node.items.isEmpty {
            report(node.position, .badValue, "at least one host must be listed")
        }
        return names
    }

    mutating func readReference(_ node: DocumentNode) -> HostName? {
        guard let text = node.text, TextFormat.hostReference.accepts(text) else { return nil }
        references.append((HostName(text), node.position))
        return HostName(text)
    }

    private mutating func checkReferences() {
        for reference in references
        where hostPlaces[reference.name] == nil && !refusedNames.contains(reference.name.text) {
            problems.append(
                TopologyProblem(
                    line: reference.position.line, column: reference.position.column, rule: .unknownReference,
                    message: "no host is called \"\(reference.name)\"",
                    suggestion: NearestName.of(reference.name.text, among: hostPlaces.keys.map(\.text).sorted())))
        }
    }

    mutating func report(
        _ position: DocumentNode.Position, _ rule: TopologyProblem.Rule, _ message: String
    ) {
        problems.append(
            TopologyProblem(line: position.line, column: position.column, rule: rule, message: message))
    }
}

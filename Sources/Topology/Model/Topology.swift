package import CloudModel

/// A cloud as its operator wants it: the validated content of `topology.yaml`, ranges expanded and defaults applied.
///
/// A plain value: nothing in it refers to the file. ``TopologyDocument`` reads and checks the file.
package struct Topology: Sendable, Equatable, Codable {
    package static let apiVersion = "cellwright/v1"
    package static let defaultRegion = "RegionOne"

    /// The cloud's name: a DNS label.
    package var name: String
    package var region: String
    /// Present when the hosts are to be made as containers on this machine.
    package var lab: Lab?
    package var tls: TLSMode
    package var api: API
    package var certificates: CertificateSettings
    /// Which services are the cloud's own.
    package var services: Services
    /// The root cell, path `/`, with the whole tree below it. It has no hosts.
    package var root: Cell
    /// Hosts listed outside any cell: machines for control planes. Compute hosts are in their leaf cell.
    package var machines: [Host]
    package var bootstrap: Bootstrap

    package init(
        name: String, region: String, lab: Lab?, tls: TLSMode = .auto,
        certificates: CertificateSettings = CertificateSettings(), api: API, services: Services = Services(),
        root: Cell, machines: [Host], bootstrap: Bootstrap
    ) {
        self.name = name
        self.region = region
        self.lab = lab
        self.tls = tls
        self.api = api
        self.certificates = certificates
        self.services = services
        self.root = root
        self.machines = machines
        self.bootstrap = bootstrap
    }
}

extension Topology {
    /// Every cell, the root first, parents before children, in the document's order.
    package var cells: [Cell] {
        var found: [Cell] = []
        var waiting = [root]
        while let cell = waiting.popLast() {
            found.append(cell)
            waiting.append(contentsOf: cell.children.reversed())
        }
        return found
    }

    /// Every host once: machines first, then compute hosts in the order of their cells.
    package var hosts: [Host] { machines + cells.flatMap(\.hosts) }

    package func cell(_ path: CellPath) -> Cell? { cells.first { $0.path == path } }

    package func host(_ name: HostName) -> Host? { hosts.first { $0.name == name } }

    /// What runs on a host; derived from who names it.
    package func roles(of host: HostName) -> Set<HostRole> { rolesByHost[host] ?? [] }

    /// What runs on each host that runs anything.
    package var rolesByHost: [HostName: Set<HostRole>] {
        var roles: [HostName: Set<HostRole>] = [:]
        for host in api.hosts { roles[host, default: []].insert(.api) }
        for cell in cells {
            for host in cell.controlHosts {
                roles[host, default: []].insert(.supervisor)
                if cell.isLeaf { roles[host, default: []].insert(.conductor) }
            }
            if case .embedded(let server) = cell.database { roles[server.host, default: []].insert(.database) }
            if case .embedded(let server) = cell.broker { roles[server.host, default: []].insert(.broker) }
            for host in cell.hosts { roles[host.name, default: []].insert(.compute) }
        }
        return roles
    }
}

/// What a host is used for.
package enum HostRole: String, Sendable, Codable, CaseIterable {
    case api, supervisor, conductor, database, broker, compute
}

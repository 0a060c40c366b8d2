import CloudModel

/// How resources are called, in one place.
extension DesiredStateBuilder {
    func packagesID(_ name: String, _ host: HostName) -> Resource.ID { .init(.packages, host: host, name: name) }
    func directoryID(_ path: String, _ host: HostName) -> Resource.ID { .init(.directory, host: host, name: path) }
    func fileID(_ path: String, _ host: HostName) -> Resource.ID { .init(.file, host: host, name: path) }
    func unitID(_ name: String, _ host: HostName) -> Resource.ID { .init(.unit, host: host, name: name) }
    func schemaID(_ cell: CellPath) -> Resource.ID { .init(.schema, cell: cell, name: cell.resourceName) }

    func databaseID(_ cell: Topology.Cell) -> Resource.ID {
        .init(.database, host: cell.databaseServer.place, name: cell.path.resourceName)
    }

    func permissionsID(_ user: ProcessLayout.BrokerUser) -> Resource.ID {
        .init(.brokerPermissions, host: index.brokerPlaces[user.cell], name: user.name)
    }

    func permissionsID(_ role: ProcessLayout.BrokerUser.Role, _ cell: CellPath) -> Resource.ID {
        .init(.brokerPermissions, host: index.brokerPlaces[cell], name: "\(role.rawValue).\(cell.slug)")
    }

    func gateID(_ process: ProcessLayout.Process) -> Resource.ID {
        .init(.gate, host: process.host, name: process.unit)
    }

    func gates(_ kind: ProcessLayout.Kind, of cell: CellPath) -> [Resource.ID] {
        index.processes(kind, cell).map(gateID)
    }

    func unitPath(_ process: ProcessLayout.Process) -> String { "\(ProcessLayout.Paths.units)/\(process.unit)" }

    /// Everything the process reads when it starts, its unit apart.
    func fileIDs(of process: ProcessLayout.Process) -> [Resource.ID] {
        let certificates =
            (process.certificate.map { [$0.path, ProcessLayout.Paths.authority] } ?? [])
            + process.authorities.map(\.path)
        return ([process.binaryPath, process.configurationPath] + process.secrets.map(\.path) + certificates).map {
            fileID($0, process.host)
        } + packagesOf(process)
    }

    private func packagesOf(_ process: ProcessLayout.Process) -> [Resource.ID] {
        let authorities = packagesID(DebianFiles.systemAuthorities.group, process.host)
        return [packagesID(process.kind == .compute ? "compute" : "control", process.host)]
            + (known.contains(authorities) ? [authorities] : [])
    }

    /// The first of the cell's supervisors: the one whose configuration the tool's own calls use.
    func supervisor(of cell: CellPath) -> ProcessLayout.Process? { index.processes(.supervisor, cell).first }

    /// Addresses from which a cell's database is used, sorted.
    func clientAddresses(of cell: Topology.Cell) -> [String] {
        var hosts = Set(cell.controlHosts)
        if cell.path.isRoot { hosts.formUnion(topology.api.hosts) }
        return hosts.map { index.addresses[$0] ?? $0.text }.sorted()
    }
}

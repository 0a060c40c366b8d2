import CloudModel

/// What a host needs before any process of ours.
extension DesiredStateBuilder {
    mutating func addHostBasics(_ host: Topology.Host) {
        let roles = index.roles[host.name] ?? []
        for (name, packages) in packages(of: host, roles).sorted(by: { $0.key < $1.key }) {
            add(
                .init(
                    id: packagesID(name, host.name), specification: .packages(packages),
                    attributes: Dictionary(uniqueKeysWithValues: packages.map { ($0, "installed") })))
        }
        if index.usesTLS, !roles.isEmpty {
            addDirectory(ProcessLayout.Paths.configuration, mode: "0755", owner: "root", on: host.name)
            addDirectory(ProcessLayout.Paths.certificates, mode: "0711", owner: "root", on: host.name)
        }
        guard !roles.isDisjoint(with: [.api, .supervisor, .conductor, .compute]) else { return }
        let account = ProcessLayout.serviceAccount
        let isControl = !roles.isDisjoint(with: [.api, .supervisor, .conductor])
        if isControl {
            add(
                .init(
                    id: .init(.account, host: host.name, name: account),
                    specification: .account(name: account, home: ProcessLayout.Paths.state),
                    attributes: ["home": ProcessLayout.Paths.state]))
        }
        let stateOwner = isControl ? account : "root"
        addDirectory(ProcessLayout.Paths.configuration, mode: "0755", owner: "root", on: host.name)
        addDirectory(ProcessLayout.Paths.secrets, mode: "0711", owner: "root", on: host.name)
        addDirectory("/usr/lib/cellwright", mode: "0755", owner: "root", on: host.name)
        addDirectory(ProcessLayout.Paths.executables, mode: "0755", owner: "root", on: host.name)
        addDirectory(ProcessLayout.Paths.state, mode: "0755", owner: stateOwner, on: host.name)
        if roles.contains(.api) {
            addDirectory(ProcessLayout.Paths.images, mode: "0750", owner: account, on: host.name)
        }
        if roles.contains(.compute) {
            addDirectory(ProcessLayout.Paths.computeState, mode: "0711", owner: "root", on: host.name)
        }
    }

    private func packages(of host: Topology.Host, _ roles: Set<HostRole>) -> [String: [String]] {
        var packages = DebianFiles.packages(for: roles, drivers: [host.hypervisor.driver])
        for (needing, group) in [
            (index.databaseClients, DebianFiles.databaseClient),
            (index.trustingSystem, DebianFiles.systemAuthorities),
        ] where needing.contains(host.name) { packages[group.group] = group.packages }
        return packages
    }

    mutating func addHypervisor(_ host: Topology.Host) {
        guard host.hypervisor.driver == .libvirt, index.roles[host.name]?.contains(.compute) == true else { return }
        let packages = packagesID("compute", host.name)
        var files: [Resource.ID] = []
        var parts: [String: String] = [:]
        if topology.lab != nil {
            let text = DebianFiles.labQEMUSettings
            files.append(
                addFile(
                    "/etc/libvirt/qemu.conf", mode: "0600", owner: "root", .text(text), on: host.name, after: [packages]
                ))
            parts["qemu.conf"] = text
        }
        addServerUnit(DebianFiles.libvirtUnit, parts: parts, on: host.name, after: [packages] + files)
    }
}

import CloudModel

/// Files, units and gates of our processes.
extension DesiredStateBuilder {
    mutating func addFiles(of process: ProcessLayout.Process, _ texts: ProcessTexts) {
        let owner: [Resource.ID] =
            process.account == ProcessLayout.serviceAccount
            ? [.init(.account, host: process.host, name: process.account)] : []
        addFile(
            process.binaryPath, mode: "0755", owner: "root", .binary(process.binary), on: process.host,
            after: [directoryID(ProcessLayout.Paths.executables, process.host)],
            cell: process.cell)
        addFile(
            process.configurationPath, mode: "0644", owner: "root", .text(texts.configuration),
            digest: texts.configurationDigest, on: process.host,
            after: [directoryID(ProcessLayout.Paths.configuration, process.host)], cell: process.cell)
        for secret in process.secrets {
            addFile(
                secret.path, mode: "0600", owner: process.account, .secret(secret.name), on: process.host,
                after: [directoryID(ProcessLayout.Paths.secrets, process.host)] + owner, cell: process.cell)
        }
        addCertificate(process.certificate, after: owner, cell: process.cell)
        for authority in process.authorities { addAuthority(authority, for: process) }
        if let file = process.imageReplicas {
            addFile(
                file.path, mode: "0644", owner: "root", .text(file.text), on: process.host,
                after: [directoryID(ProcessLayout.Paths.configuration, process.host)], cell: process.cell)
        }
        digests[unitID(process.unit, process.host)] = texts.inputs
        addFile(
            unitPath(process), mode: "0644", owner: "root", .text(texts.unit), digest: texts.unitDigest,
            on: process.host, after: [], cell: process.cell)
    }

    /// The file of a certificate with its key, and the authority's. A change of either restarts nothing: both are read for
    /// every new connection.
    @discardableResult
    mutating func addCertificate(
        _ certificate: ProcessLayout.Certificate?, after: [Resource.ID], cell: CellPath? = nil
    ) -> [Resource.ID] {
        guard let certificate else { return [] }
        let folder = directoryID(ProcessLayout.Paths.certificates, certificate.host)
        return [
            addFile(
                ProcessLayout.Paths.authority, mode: "0644", owner: "root", .secret(.authority), on: certificate.host,
                after: [folder]),
            addFile(
                certificate.path, mode: "0600", owner: certificate.owner, .secret(certificate.name),
                on: certificate.host, after: [folder] + after, cell: cell),
        ]
    }

    /// Read for every new connection, as certificates are.
    private mutating func addAuthority(_ file: ProcessLayout.AuthorityFile, for process: ProcessLayout.Process) {
        addDirectory(ProcessLayout.Paths.certificates, mode: "0711", owner: "root", on: process.host)
        addFile(
            file.path, mode: "0644", owner: "root", .text(inputs.authorities[file.source] ?? ""), on: process.host,
            after: [directoryID(ProcessLayout.Paths.certificates, process.host)])
    }

    func certificateDigest(_ certificate: ProcessLayout.Certificate) -> String {
        " \(inputs.secrets[certificate.name] ?? "") \(inputs.secrets[.authority] ?? "")"
    }

    mutating func addRun(_ process: ProcessLayout.Process, after: [Resource.ID]) {
        let unit = unitID(process.unit, process.host)
        let digest = digests[unit] ?? ""
        add(
            .init(
                id: unit, specification: .unit(.init(name: process.unit, inputs: digest)),
                attributes: ["active": "yes", "enabled": "yes", "inputs": digest],
                dependsOn: after + fileIDs(of: process) + [fileID(unitPath(process), process.host)],
                effectOfChange: .restart, cell: process.cell))
        add(
            .init(
                id: gateID(process),
                specification: .gate(host: process.host, process.configuration.healthEndpoint),
                attributes: ["answers": "yes"], dependsOn: [unit], followsDependencies: true, cell: process.cell))
    }

    mutating func addAgent(_ process: ProcessLayout.Process) {
        guard let supervisor = supervisor(of: process.cell),
            let user = index.hostUsers[process.host]
        else { return }
        let queue = Resource.ID(.hostQueue, cell: process.cell, name: process.host.text)
        add(
            .init(
                id: queue,
                specification: .hostQueue(
                    host: supervisor.host, configurationPath: supervisor.configurationPath, computeHost: process.host),
                // Declared with the supervisor's settings, by a call that needs no supervisor.
                attributes: [:],
                dependsOn: [permissionsID(.supervisor, process.cell)] + fileIDs(of: supervisor), cell: process.cell))
        var after = [queue, permissionsID(user)]
        let libvirt = unitID(DebianFiles.libvirtUnit, process.host)
        if known.contains(libvirt) { after.append(libvirt) }
        addRun(process, after: after)
    }
}

import CloudModel
import FoundationEssentials
import Glibc
import Primitives
import Topology

/// Looks for what is wrong with this machine and with a cloud that runs, and says how to mend it. Changes nothing.
extension Deployment {
    static let vitalsTimeout = Duration.seconds(30)
    /// A server that is being built for longer is stuck (seconds).
    static let buildLimit: TimeInterval = 600
    /// Servers of one kind that are looked at.
    static let serverLimit = 100

    package func diagnose() async -> Diagnosis {
        async let status = status()
        async let vitals = hostFindings()
        async let servers = serverFindings()
        var checked = ["this machine"]
        var findings = machineFindings()
        let cloud = await status
        checked.append("\(CellText.counted(settings.topology.hosts.count, "host")) of cloud \(cloud.name)")
        checked.append("\(CellText.counted(settings.topology.cells.count, "cell")) and the API at \(cloud.url)")
        findings += cloud.findings
        findings += await vitals
        findings += await servers
        return Diagnosis(checked: checked, findings: findings)
    }

    // MARK: This machine

    func machineFindings() -> [Finding] {
        let subject = "this machine"
        var findings: [Finding] = []
        let folders = (settings.environment["PATH"] ?? "/usr/sbin:/usr/bin:/sbin:/bin").split(separator: ":")
        for (program, package) in [("ssh", "openssh-client"), ("curl", "curl"), ("gzip", "gzip")]
        where !folders.contains(where: { Glibc.access("\($0)/\(program)", X_OK) == 0 }) {
            findings.append(
                Finding(
                    .error, subject, "there is no program \(program)", mend: "`apt-get install \(package)` as root."))
        }
        if settings.lab != nil {
            findings += LabPrerequisites.problems(path: settings.environment["PATH"] ?? "").map {
                Finding(.error, subject, "it can't hold a lab: \($0)", mend: "Mend that, then `cellwright lab up`.")
            }
        }
        for binary in Set(ProcessLayout(settings.topology).processes.map(\.binary)).sorted()
        where Glibc.access("\(settings.binariesFolder)/\(binary)", R_OK) != 0 {
            findings.append(
                Finding(
                    .error, subject, "there is no \(binary) beside cellwright in \(settings.binariesFolder)",
                    mend: "Build all programs: `swift build -c release`, or install the package that has it."))
        }
        return findings + stateFindings(subject)
    }

    private func stateFindings(_ subject: String) -> [Finding] {
        guard FileSystem.exists(settings.stateFolder) else {
            return [
                Finding(
                    .warning, subject, "there is no \(settings.stateFolder): nothing was applied from here",
                    mend: "`cellwright apply` makes it; or run this where the cloud was made.")
            ]
        }
        return [settings.secretsFolder, settings.cloudsPath].compactMap { path in
            var info = stat()
            guard stat(path, &info) == 0, info.st_mode & 0o077 != 0 else { return nil }
            return Finding(
                .error, subject, "others can read \(path)", mend: "`chmod -R go= \(path)`, then `cellwright rotate`.")
        }
    }

    // MARK: Hosts

    private func hostFindings() async -> [Finding] {
        do {
            return try await withHosts { hosts in
                try await parallelMap(hosts.connections.keys.sorted(), limit: HostPool.parallel) { host in
                    await vitals(of: host, hosts)
                }.flatMap(\.self)
            }
        } catch {
            return [
                Finding(
                    .error, "the cloud", "no host could be asked how it is: \(ErrorChain(error))",
                    mend: "Mend what it says and run `cellwright doctor` again.")
            ]
        }
    }

    private func vitals(of host: HostName, _ hosts: HostPool) async -> [Finding] {
        let needsLibvirt = settings.topology.cells.flatMap(\.hosts).contains {
            $0.name == host && $0.hypervisor.driver == .libvirt
        }
        let start = wallClock.now().timeIntervalSince1970
        do {
            let output = try await hosts.connection(host).check(
                "ask how it is", HostVitals.script, timeout: Self.vitalsTimeout)
            let end = wallClock.now().timeIntervalSince1970
            return HostVitals(output).findings(
                host: host.text, asked: start...max(start, end), needsLibvirt: needsLibvirt)
        } catch {
            return [
                Finding(
                    .error, "host \(host)", "it did not say how it is: \(ErrorChain(error))",
                    mend: "Log in with ssh and see whether its disks and its systemd answer.")
            ]
        }
    }

    // MARK: Servers

    private func serverFindings() async -> [Finding] {
        do {
            return try await withDeadline(Self.cellsLimit) {
                try await stuckServers()
            } orElse: {
                CellsFailure.failed("no answer within \(Self.cellsLimit.components.seconds) s")
            }
        } catch {
            // That the API does not answer is a finding of the status already.
            return []
        }
    }

    private func stuckServers() async throws -> [Finding] {
        let client = try await cells()
        var findings: [Finding] = []
        let building = try await client.servers(status: "BUILD", limit: Self.serverLimit)
        let old = building.filter { server in
            guard let created = server.createdAt.flatMap(Timestamp.parse) else { return false }
            return wallClock.now().timeIntervalSince(created) > Self.buildLimit
        }
        if let first = old.first {
            findings.append(
                Finding(
                    .error, "the cloud",
                    "\(CellText.counted(old.count, "server")) being built for over \(Int(Self.buildLimit / 60)) minutes",
                    mend: "`cellwright server locate \(first.id)` says where one waits."))
        }
        let parked = try await client.sagas(SagaSelection(states: ["parked"])).sagas
        if let first = parked.first {
            findings.append(
                Finding(
                    .error, "the cloud",
                    "\(CellText.counted(parked.count, "saga")) parked, such as \(first.name) on host \(first.host): "
                        + (first.failure ?? "no reason given"),
                    mend:
                        "`cellwright saga list --state parked` shows all; mend the host, then `cellwright saga retry ID`."
                ))
        }
        let failed = try await client.servers(status: "ERROR", limit: Self.serverLimit)
        if let first = failed.first {
            let count =
                failed.count == Self.serverLimit
                ? "\(failed.count) or more servers" : CellText.counted(failed.count, "server")
            findings.append(
                Finding(
                    .warning, "the cloud", "\(count) in ERROR",
                    mend: "`cellwright server locate \(first.id)` says why for one; its user deletes it."))
        }
        return findings
    }
}

extension CellsClient {
    struct FoundServer: Sendable {
        var id: String
        var createdAt: String?
    }

    /// Servers of all projects with a status.
    func servers(status: String, limit: Int) async throws -> [FoundServer] {
        try await compute("/servers/detail?all_tenants=1&limit=\(limit)&status=\(status)", key: "servers").compactMap {
            server in
            server["id"]?.string.map { FoundServer(id: $0, createdAt: server["created"]?.string) }
        }
    }
}

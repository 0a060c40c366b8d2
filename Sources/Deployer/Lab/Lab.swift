package import FoundationEssentials
import SystemPackage

/// The hosts of a topology as containers on this machine: each with its own systemd, sshd, disk and network.
///
/// Everything it keeps is in one folder. What runs is asked of the kernel, so that a machine that was restarted or a
/// container that was killed is nothing special: `up` starts what does not run and leaves what does.
package struct Lab: Sendable {
    /// Containers started or stopped at the same time.
    static let parallel = 4
    static let readyLimit = Duration.seconds(120)

    package let specification: LabSpecification
    private let path: String

    /// - Parameter path: the environment's search path for programs.
    package init(_ specification: LabSpecification, path: String) {
        self.specification = specification
        self.path = path
    }

    /// How to log in to a host of the lab.
    package func target(_ host: LabSpecification.Host) -> SSHTarget {
        SSHTarget(
            name: host.name, address: host.address, identityFile: specification.paths.key,
            knownHostsFile: specification.paths.knownHosts)
    }

    /// Brings every host up and waits until each answers ssh. Hosts that run are left alone, dead ones start again with
    /// their disks, hosts that the topology no longer names are left for ``down(reporter:now:)``.
    /// - Returns: names of the hosts that were started.
    package func up(reporter: any ProgressReporter, now: Date) async throws -> [String] {
        let problems = LabPrerequisites.problems(path: path)
        guard problems.isEmpty else {
            throw LabFailure("a lab cannot be made on this machine: " + problems.joined(separator: "; "))
        }
        try FileSystem.makeFolder(specification.folder)
        let lock = try ExclusiveLock(path: specification.paths.lock, command: "lab up", now: now)
        let started = try await up(lock, reporter: reporter, now: now)
        return started
    }

    private func up(
        _ lock: borrowing ExclusiveLock, reporter: any ProgressReporter, now: Date
    ) async throws -> [String] {
        let base = try BaseTree.forThisMachine()
        let paths = specification.paths
        var state = try LabState.read(paths.state) ?? LabState(network: specification.network, bridge: "")
        try check(state)
        let isBuilt = specification.hosts.allSatisfy { host in
            state.hosts[host.name].map { FileSystem.exists($0.base) } ?? base.exists
        }
        if !isBuilt { try await base.build(reporter: reporter, now: now) }
        let authorizedKey = try await key()
        state.bridge = try await LabNetwork(specification: specification).up()
        try FileSystem.makeFolder(paths.hosts, mode: [.ownerReadWriteExecute, .groupExecute, .otherExecute])
        for host in specification.hosts {
            let disk = LabHostDisk(specification: specification, host: host)
            if disk.isMade, state.hosts[host.name] != nil { continue }
            try await disk.make(authorizedKey: authorizedKey)
            state.hosts[host.name] = .init(address: host.address, base: base.path)
        }
        if let limit = try WatchLimit.raise(forHosts: state.hosts.count) {
            state.watchLimit = limit.after(state.watchLimit)
            reporter.report(
                ProgressEvent(
                    .note, "\(WatchLimit.path) is \(limit.raised) until the lab is down; it was \(limit.found)"))
        }
        try state.write(paths.state)
        try writeSSHFiles(state)
        let current = state
        let started = try await parallelMap(specification.hosts, limit: Self.parallel) { host -> String? in
            try await start(host, state: current, reporter: reporter)
        }
        return started.compactMap { $0 }
    }

    /// Powers every host off and removes everything of the lab: containers, links, disks, keys. Base trees stay.
    package func down(reporter: any ProgressReporter, now: Date) async throws {
        guard FileSystem.exists(specification.folder) else {
            try await LabNetwork(specification: specification).down()
            return
        }
        let lock = try ExclusiveLock(path: specification.paths.lock, command: "lab down", now: now)
        try await down(lock, reporter: reporter)
    }

    private func down(_ lock: borrowing ExclusiveLock, reporter: any ProgressReporter) async throws {
        let names = try knownHosts()
        let state = try LabState.read(specification.paths.state)
        try await SSHConnection.closeAll(
            (state?.hosts ?? [:]).map { name, host in target(.init(name: name, address: host.address)) })
        _ = try await parallelMap(names, limit: Self.parallel) { name in
            let container = LabContainer(specification: specification, name: name)
            if container.process() != nil {
                try await reporter.step("power off", host: name) { _ = try await container.stop() }
            }
            try await container.sweep()
        }
        try await LabNetwork(specification: specification).down()
        try state?.watchLimit?.restore()
        try FileSystem.remove(specification.folder)
        if let parent = FileSystem.parent(of: specification.folder),
            parent.hasSuffix("/" + DeploymentSettings.stateFolderName)
        {
            FileSystem.removeIfEmpty(parent)
        }
        reporter.report(ProgressEvent(.done, "removed the lab in \(specification.folder)"))
    }

    /// How each host of the topology is, and each that the lab still has beside them.
    package func status() async throws -> [LabHostStatus] {
        let state = try LabState.read(specification.paths.state)
        var hosts = specification.hosts
        for (name, host) in (state?.hosts ?? [:]).sorted(by: { $0.key < $1.key })
        where !hosts.contains(where: { $0.name == name }) {
            hosts.append(.init(name: name, address: host.address))
        }
        return try await parallelMap(hosts, limit: Self.parallel) { host in
            let container = LabContainer(specification: specification, name: host.name)
            let process = container.process()
            let hasDisk = LabHostDisk(specification: specification, host: host).isMade
            let condition: LabHostStatus.State =
                if process == nil {
                    hasDisk ? .stopped : .absent
                } else {
                    try await answers(host) ? .running : .starting
                }
            return LabHostStatus(
                name: host.name, address: host.address, state: condition, process: process,
                leader: container.leader())
        }
    }

    /// Hosts on disk, whether the topology names them or not.
    private func knownHosts() throws -> [String] {
        var names = Set(specification.hosts.map(\.name))
        if FileSystem.exists(specification.paths.hosts) {
            names.formUnion(try FileManager.default.contentsOfDirectory(atPath: specification.paths.hosts))
        }
        return names.sorted()
    }

    private func check(_ state: LabState) throws {
        guard state.network == specification.network else {
            throw LabFailure(
                "the lab in \(specification.folder) has the network \(state.network), the topology says "
                    + "\(specification.network): run `cellwright lab down` first")
        }
        for host in specification.hosts {
            if let known = state.hosts[host.name], known.address != host.address {
                throw LabFailure(
                    "host \(host.name) of the lab has the address \(known.address), the topology says \(host.address): "
                        + "run `cellwright lab down` first")
            }
        }
    }

    /// Makes the key that logs in to the hosts, once. Returns its public half.
    private func key() async throws -> String {
        let key = specification.paths.key
        if !FileSystem.exists("\(key).pub") {
            try FileSystem.remove(key)
            try await LocalCommand(
                "ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-C", "cellwright lab", "-f", key]
            ).check()
        }
        return try FileSystem.text("\(key).pub")
    }

    private func writeSSHFiles(_ state: LabState) throws {
        let hosts = state.hosts.sorted { $0.key < $1.key }.map {
            LabSpecification.Host(name: $0.key, address: $0.value.address)
        }
        let lines = try hosts.filter { LabHostDisk(specification: specification, host: $0).isMade }.map { host in
            try LabHostDisk(specification: specification, host: host).knownHostsLine()
        }
        try PrivateFile.update(lines.joined(separator: "\n") + "\n", at: specification.paths.knownHosts)
        let entries = hosts.map { host in
            """
            Host \(host.name)
                HostName \(host.address)
                HostKeyAlias \(host.name)
                User root
                IdentityFile "\(specification.paths.key)"
                IdentitiesOnly yes
                UserKnownHostsFile "\(specification.paths.knownHosts)"

            """
        }
        try PrivateFile.update(entries.joined(), at: specification.paths.sshConfig)
    }

    private func start(
        _ host: LabSpecification.Host, state: LabState, reporter: any ProgressReporter
    ) async throws -> String? {
        let container = LabContainer(specification: specification, name: host.name)
        guard let base = state.hosts[host.name]?.base else { throw LabFailure("host \(host.name) has no disk") }
        if container.process() != nil, try await answers(host) { return nil }
        return try await reporter.step("start the host at \(host.address)", host: host.name) {
            let isNew = container.process() == nil
            if isNew {
                try await container.sweep()
                try await container.start(base: base, bridge: state.bridge)
            }
            let isUp = try await poll(every: .milliseconds(200), for: Self.readyLimit) {
                guard container.process() != nil else { throw LabFailure(container.failure()) }
                return try await answers(host)
            }
            guard isUp else {
                throw LabFailure(
                    "host \(host.name) does not answer ssh at \(host.address); its console is in "
                        + specification.paths.log(host.name))
            }
            return isNew ? host.name : nil
        }
    }

    /// Whether the host answers ssh and its systemd has finished starting.
    private func answers(_ host: LabSpecification.Host) async throws -> Bool {
        let arguments =
            target(host).arguments(controlPath: "none") + [
                "-o", "ConnectTimeout=2", "-F", "none", host.address, "--", "systemctl is-system-running",
            ]
        do {
            let result = try await LocalCommand("ssh", arguments, timeout: .seconds(5)).run()
            return ["running", "degraded"].contains(result.standardOutput.trimmed)
        } catch is CommandFailure {
            return false
        }
    }
}

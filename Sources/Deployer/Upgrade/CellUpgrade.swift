import CloudModel
import FoundationEssentials
import Primitives
import Topology

/// One cell's way to new executables, and back if it does not work with them.
struct CellUpgrade: Sendable {
    /// How long each process has to answer with the new executable, and then the cell to be heard at the root.
    static let gateSeconds = 20
    /// How long all of them must then go on answering.
    static let watchSeconds = 4
    /// Between two questions to the root.
    static let pollInterval = Duration.milliseconds(500)
    private static let parallel = 8

    /// What the cell ran with before: digests of executables by path on a host, and of what last migrated its database.
    struct Before: Sendable {
        var executables: [Resource.ID: String]
        var migratedBy: String?
        /// Hosts whose agents spoke.
        var speaking: Set<String>
    }

    let deployment: Deployment
    let hosts: HostPool
    let stage: UpgradeStages.Stage
    let before: Before
    /// Digests of the new executables by name.
    let binaries: [String: String]

    private var cell: CellPath { stage.cell }
    private var byHost: [(HostName, [ProcessLayout.Process])] {
        Dictionary(grouping: stage.processes, by: \.host).sorted { $0.key < $1.key }
    }

    /// Does it, and throws the first reason why the cell does not work with it.
    func run() async throws {
        try await onHosts("keep what runs") { UpgradeScript.keep($0) }
        var performer = deployment.performer(hosts)
        performer.upgradeGateSeconds = Self.gateSeconds
        // A stop is heeded between cells: in the middle of one, half of it would be of each version.
        let report = try await deployment.execute(
            stage.actions, hosts: hosts, stop: StopRequest(), performer: performer)
        let failures = report.outcomes.compactMap { id, outcome -> String? in
            if case .failed(let why) = outcome { "\(id): \(why)" } else { nil }
        }
        if let failure = failures.sorted().first { throw UpgradeFailure(.refused, failure) }
        try await deployment.reporter.step("hear \(cell) at the root", cell: cell.description) {
            try await hear(versions { process in binaries[process.binary] })
        }
        try await onHosts("watch \(cell) for \(Self.watchSeconds) s") {
            UpgradeScript.watch($0, seconds: Self.watchSeconds)
        }
    }

    func finish() async throws {
        try await onHosts("let go of previous executables") { UpgradeScript.forget($0) }
    }

    /// Brings everything back that can be, and says what could not. Empty when the cell works again as before.
    func rollBack() async -> [String] {
        var problems: [String] = []
        for (host, processes) in byHost {
            do {
                try await deployment.reporter.step("roll back", host: host.text, cell: cell.description) {
                    try await hosts.connection(host).check(
                        "roll back", UpgradeScript.rollBack(processes), timeout: ActionPerformer.unitTimeout)
                }
            } catch {
                problems.append(ErrorChain(error).description)
            }
        }
        do {
            try await restoreNote()
            try await onHosts("wait for \(cell)") { processes in
                processes.map { process in
                    let endpoint = process.configuration.healthEndpoint
                    return "( \(UpgradeScript.gate(endpoint, unit: process.unit, seconds: Self.gateSeconds)) )"
                }.joined(separator: "\n")
            }
            try await deployment.reporter.step("hear \(cell) at the root", cell: cell.description) {
                try await hear(
                    versions { before.executables[.init(.file, host: $0.host, name: $0.binaryPath)] })
            }
        } catch {
            problems.append(ErrorChain(error).description)
        }
        return problems
    }

    // MARK: Parts

    private func onHosts(
        _ title: String, _ script: @escaping @Sendable ([ProcessLayout.Process]) -> String
    ) async throws {
        try await deployment.reporter.step(title, cell: cell.description) {
            _ = try await parallelMap(byHost, limit: Self.parallel) { host, processes in
                try await hosts.connection(host).check(
                    title, script(processes), timeout: ActionPerformer.unitTimeout)
            }
        }
    }

    /// A schema only grows, so the previous executables work with what the new ones made of it: see ADR 9.
    private func restoreNote() async throws {
        guard let digest = before.migratedBy, let settings = deployment.settings.topology.cell(cell) else { return }
        let (connection, script) = try deployment.access(hosts).database(settings.databaseServer)
        try await connection.check(
            "note the migration", script.noteMigration(cell.resourceName, by: digest))
    }

    private func versions(_ digest: (ProcessLayout.Process) -> String?) -> CellVersions {
        let own = deployment.settings.topology.cell(cell)
        let isLeaf = own?.isLeaf == true
        var versions = CellVersions(cell: cell, supervisor: nil, agents: [:])
        for host in own?.hosts ?? [] where before.speaking.contains(host.name.text) {
            versions.agents[host.name.text] = .some(nil)
        }
        for process in stage.processes {
            switch process.kind {
            case .supervisor: versions.supervisor = isLeaf ? digest(process) : nil
            case .compute:
                let host = process.host.text
                if before.speaking.contains(host) { versions.agents[host] = .some(digest(process)) }
            case .api, .conductor: break
            }
        }
        return versions
    }

    /// Asks the root until it says so. The root itself may be what is upgraded: then its silence counts as not yet.
    private func hear(_ versions: CellVersions) async throws {
        let clock = ContinuousClock()
        let end = clock.now + .seconds(Self.gateSeconds)
        var missing = ["the API does not answer"]
        repeat {
            do {
                let client = try await deployment.cells()
                missing = versions.missing(cells: try await client.cells(), hosts: try await client.hosts(of: nil))
                if missing.isEmpty { return }
            } catch let failure as CellsFailure {
                missing = [failure.description]
            }
            try await clock.sleep(for: Self.pollInterval)
        } while clock.now < end
        throw UpgradeFailure(
            .refused, "after \(Self.gateSeconds) s \(missing.joined(separator: "; "))")
    }
}

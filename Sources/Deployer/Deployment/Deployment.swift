import CloudModel
import FoundationEssentials
package import Primitives
package import Topology

/// A cloud that is made, looked at and ended as its topology says: what the commands of `cellwright` call.
package struct Deployment: Sendable {
    package let settings: DeploymentSettings
    let reporter: any ProgressReporter
    let wallClock: any WallClock
    let ids: any IDSource

    package init(
        _ settings: DeploymentSettings, reporter: any ProgressReporter, wallClock: any WallClock, ids: any IDSource
    ) {
        self.settings = settings
        self.reporter = reporter
        self.wallClock = wallClock
        self.ids = ids
    }

    /// What a look at the world gave.
    package struct Survey: Sendable {
        package var desired: DesiredState
        package var facts: ObservedFacts
        package var plan: Plan

        /// Whether something on a host that can be reached could not be looked at.
        var isBlind: Bool { !unseen.isEmpty }

        /// What could not be looked at, hosts out of reach apart: a sentence for each reason.
        var unseen: [String] {
            let lost = Set(facts.unreachable.values)
            let reasons = plan.unknown.filter { item in !lost.contains { item.reason.hasSuffix($0) } }
            return Dictionary(grouping: reasons, by: \.reason).sorted { $0.key < $1.key }.map { reason, items in
                "\(items.count) things such as \(items[0].resource) could not be looked at: \(reason)"
            }
        }
    }

    /// Looks at everything and plans. Changes nothing, on the hosts or here.
    package func survey() async throws -> Survey {
        try await withHosts { hosts -> Survey in
            try await survey(hosts, inputs: try await inputs(creating: false))
        }
    }

    /// Looks at everything for a plan that is to be saved: the secrets and certificates that it needs are made now, since the
    /// plan rests on which they are. Changes nothing on the hosts.
    /// - Throws: ``ExclusiveLock/Held`` when another run is at work.
    package func surveyToSave() async throws -> Survey {
        try FileSystem.makeFolder(settings.stateFolder)
        let lock = try ExclusiveLock(path: settings.lockPath, command: "cellwright plan", now: wallClock.now())
        return try await surveyToSave(lock)
    }

    private func surveyToSave(_ lock: borrowing ExclusiveLock) async throws -> Survey {
        try await withHosts { hosts -> Survey in
            try await survey(hosts, inputs: try await inputs(creating: true))
        }
    }

    // MARK: Parts that other operations share

    func execute(
        _ actions: [PlanAction], hosts: HostPool, stop: StopRequest,
        limits: ActionGraph.Limits = ActionGraph.Limits(), faults: FaultPoints = .none,
        performer own: ActionPerformer? = nil
    ) async throws -> PlanExecutor.Report {
        let journal = try Journal(path: settings.journalPath)
        let executor = PlanExecutor(
            journal: journal, run: ids.uuid().uuidString.lowercased(), reporter: reporter, wallClock: wallClock,
            stop: stop, limits: limits, faults: faults)
        let performer = own ?? performer(hosts)
        return try await executor.execute(actions) { try await performer.perform($0) }
    }

    func performer(_ hosts: HostPool) -> ActionPerformer {
        ActionPerformer(
            settings: settings, hosts: hosts, access: access(hosts), secrets: secrets, binaries: binaries,
            layout: ProcessLayout(settings.topology))
    }

    func withHosts<Result>(_ body: (HostPool) async throws -> Result) async throws -> Result {
        // Connections stay open for a while, for the next run: see SSHConnection.idleSeconds.
        try await body(try await HostPool.open(settings.targets))
    }

    func survey(_ hosts: HostPool, inputs: DesiredState.Inputs) async throws -> Survey {
        let desired = DesiredState(settings.topology, inputs: inputs)
        let facts = try await look(hosts, desired: desired.resources)
        return Survey(desired: desired, facts: facts, plan: Plan(desired: desired, observed: facts))
    }

    func look(_ hosts: HostPool, desired: [Resource]) async throws -> ObservedFacts {
        try await FactsCollector(settings: settings, hosts: hosts, access: access(hosts), secrets: secrets)
            .collect(desired)
    }

    func access(_ hosts: HostPool) -> ServerAccess {
        ServerAccess(settings: settings, secrets: secrets, hosts: hosts)
    }

    var secrets: SecretStore { SecretStore(folder: settings.secretsFolder) }

    private var binaries: BinaryCache {
        BinaryCache(folder: settings.cacheFolder, source: settings.binariesFolder)
    }

    /// Digests of our executables and secrets. When `creating`, missing secrets are made; else they count as empty.
    func inputs(creating: Bool) async throws -> DesiredState.Inputs {
        let layout = ProcessLayout(settings.topology)
        let names = Set(layout.processes.map(\.binary)).sorted()
        let binaries = binaries
        let ending = try completeCertificates(layout, creating: creating)
        let digests = try await parallelMap(names, limit: 2) { try await binaries.binary($0).digest }
        var values: [SecretName: String] = [:]
        for name in layout.secrets {
            let secret = creating ? try secrets.value(name) : try secrets.existing(name)
            values[name] = secret.map { Digest.of($0.reveal() + "\n") }
        }
        for name in [.authority] + layout.certificates.map(\.name) where !ending.other.contains(name) {
            values[name] = try secrets.existing(name).map { Digest.of($0.reveal() + "\n") }
        }
        var authorities: [String: String] = [:]
        for file in layout.processes.flatMap(\.authorities) where authorities[file.source] == nil {
            authorities[file.source] = try settings.authority(file.source)
        }
        return DesiredState.Inputs(
            binaries: Dictionary(uniqueKeysWithValues: zip(names, digests)), secrets: values, ending: ending.days,
            authorities: authorities)
    }

    /// Makes certificates when `creating`; else tells which an apply would renew, with their days left, and which it
    /// would make anew because they no longer fit.
    private func completeCertificates(
        _ layout: ProcessLayout, creating: Bool
    ) throws -> (days: [SecretName: Int], other: Set<SecretName>) {
        if creating {
            try certificates.complete(layout.certificates)
            return ([:], [])
        }
        var days: [SecretName: Int] = [:]
        var other: Set<SecretName> = []
        for (name, state) in try certificates.states(of: layout.certificates) {
            switch state {
            case .ending(let left): days[name] = left
            case .other: other.insert(name)
            case .missing, .good: break
            }
        }
        return (days, other)
    }

    var certificates: CertificateStore {
        CertificateStore(
            secrets: secrets, cloud: settings.topology.name, settings: settings.topology.certificates,
            now: wallClock.now())
    }
}

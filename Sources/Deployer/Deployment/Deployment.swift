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
    }

    /// Looks at everything and plans. Changes nothing, on the hosts or here.
    package func survey() async throws -> Survey {
        try await withHosts { hosts -> Survey in
            try await survey(hosts, inputs: try await inputs(creating: false))
        }
    }

    /// Makes the cloud as the topology says. Steps that fail leave out what depends on them; the rest is done.
    /// - Throws: ``ExclusiveLock/Held`` when another run is at work, ``ApplyFailure`` when something was not done.
    /// - Returns: what was done.
    package func apply(stop: StopRequest) async throws -> PlanExecutor.Report {
        try FileSystem.makeFolder(settings.stateFolder)
        let lock = try ExclusiveLock(path: settings.lockPath, command: "cellwright apply", now: wallClock.now())
        let report = try await apply(lock, stop: stop)
        return report
    }

    private func apply(_ lock: borrowing ExclusiveLock, stop: StopRequest) async throws -> PlanExecutor.Report {
        reporter.report(ProgressEvent(.stage, "look"))
        let inputs: DesiredState.Inputs = try await reporter.step("prepare executables and secrets") {
            try await self.inputs(creating: true)
        }
        return try await withHosts { hosts -> PlanExecutor.Report in
            try await apply(inputs, hosts: hosts, stop: stop)
        }
    }

    private func apply(
        _ inputs: DesiredState.Inputs, hosts: HostPool, stop: StopRequest
    ) async throws -> PlanExecutor.Report {
        let title = "look at \(settings.topology.hosts.count) hosts and the cloud"
        let survey: Survey = try await reporter.step(title) { try await self.survey(hosts, inputs: inputs) }
        try refuseLosses(survey.plan)
        for (host, why) in hosts.unreachable.sorted(by: { $0.key < $1.key }) {
            reporter.report(ProgressEvent(.failed, "unreachable", host: host.text, detail: why))
        }
        reporter.report(ProgressEvent(.stage, "apply \(survey.plan.actions.count) changes"))
        let report = try await execute(survey.plan.actions, hosts: hosts, stop: stop)
        try writeClouds()
        try judge(report, survey: survey)
        return report
    }

    // MARK: Parts that other operations share

    func execute(_ actions: [PlanAction], hosts: HostPool, stop: StopRequest) async throws -> PlanExecutor.Report {
        let journal = try Journal(path: settings.journalPath)
        let executor = PlanExecutor(
            journal: journal, run: ids.uuid().uuidString.lowercased(), reporter: reporter, wallClock: wallClock,
            stop: stop)
        let performer = performer(hosts)
        return try await executor.execute(actions) { try await performer.perform($0) }
    }

    func performer(_ hosts: HostPool) -> ActionPerformer {
        ActionPerformer(
            settings: settings, hosts: hosts, access: access(hosts), secrets: secrets, binaries: binaries,
            layout: ProcessLayout(settings.topology))
    }

    func withHosts<Result>(_ body: (HostPool) async throws -> Result) async throws -> Result {
        let hosts = try await HostPool.open(settings.targets)
        do {
            let result = try await body(hosts)
            await hosts.close()
            return result
        } catch {
            await hosts.close()
            throw error
        }
    }

    func survey(_ hosts: HostPool, inputs: DesiredState.Inputs) async throws -> Survey {
        let desired = try DesiredState(settings.topology, inputs: inputs)
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
        return DesiredState.Inputs(
            binaries: Dictionary(uniqueKeysWithValues: zip(names, digests)), secrets: values, ending: ending.days)
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

    private func writeClouds() throws {
        let topology = settings.topology
        let passwords = UserPasswords(settings: settings, secrets: secrets)
        let administrator = passwords.administrator
        let others = topology.bootstrap.users.filter { !$0.roles.contains(BootstrapDocument.administratorName) }
        let logins = try [("cellwright", others.first ?? administrator), ("cellwright-admin", administrator)].map {
            cloud, user in
            CloudsFile.Login(
                cloud: cloud, user: user.name, project: user.project, password: try passwords.password(of: user))
        }
        let text = CloudsFile.text(
            logins, url: topology.publicURL, region: topology.region, authority: settings.authorityPath)
        if try PrivateFile.update(text, at: settings.cloudsPath) {
            reporter.report(ProgressEvent(.done, "write \(settings.cloudsPath)"))
        }
    }

    /// What holds users' data is never taken away by an apply.
    private func refuseLosses(_ plan: Plan) throws {
        let losses = plan.actions.filter {
            $0.specification == nil && [.database, .brokerVhost, .cellMapping].contains($0.resource.kind)
        }
        if let first = losses.first { throw RemovalFailure(what: first.resource.removalSubject) }
    }

    private func judge(_ report: PlanExecutor.Report, survey: Survey) throws {
        let failures = report.outcomes.compactMap { id, outcome -> String? in
            // The rest of the text was reported when the step failed.
            if case .failed(let why) = outcome { "\(id): \(why.lines.first ?? why)" } else { nil }
        }.sorted()
        let unreachable = survey.facts.unreachable.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }
        guard failures.isEmpty, unreachable.isEmpty, report.notBegun.isEmpty else {
            throw ApplyFailure(
                failures: failures, unreachable: unreachable, notBegun: report.notBegun.count,
                succeeded: report.succeeded)
        }
    }
}

/// An apply that did not do all of it.
package struct ApplyFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// What failed, and why, in order.
    package let failures: [String]
    /// Hosts that did not answer, and why.
    package let unreachable: [String]
    /// Changes that were not begun, because a stop was asked for.
    package let notBegun: Int
    package let succeeded: Int

    package var description: String {
        var parts: [String] = []
        if !failures.isEmpty { parts.append("\(failures.count) failed: \(failures.joined(separator: "; "))") }
        if !unreachable.isEmpty { parts.append("unreachable hosts: \(unreachable.joined(separator: "; "))") }
        if notBegun > 0 { parts.append("stopped before \(notBegun) changes") }
        return "not everything was applied (\(succeeded) changes were made). " + parts.joined(separator: ". ")
            + ". Run `cellwright apply` again to go on: what is done stays done"
    }
}

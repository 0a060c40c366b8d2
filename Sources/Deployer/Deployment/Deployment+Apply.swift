import CloudModel
import FoundationEssentials
import Primitives
import Topology

/// Making a cloud as its topology says.
extension Deployment {
    /// Makes the cloud as the topology says. Steps that fail leave out what depends on them; the rest is done. What was
    /// made of a new cell that failed is undone.
    /// - Throws: ``ExclusiveLock/Held`` when another run is at work, ``ApplyFailure`` when something was not done.
    /// - Returns: what was done.
    package func apply(
        _ options: ApplyOptions = ApplyOptions(), stop: StopRequest
    ) async throws -> PlanExecutor.Report {
        try FileSystem.makeFolder(settings.stateFolder)
        let lock = try ExclusiveLock(path: settings.lockPath, command: "cellwright apply", now: wallClock.now())
        let report = try await apply(lock, options, stop: stop)
        return report
    }

    private func apply(
        _ lock: borrowing ExclusiveLock, _ options: ApplyOptions, stop: StopRequest
    ) async throws -> PlanExecutor.Report {
        reporter.report(ProgressEvent(.stage, "look"))
        let inputs: DesiredState.Inputs = try await reporter.step("prepare executables and secrets") {
            try await self.inputs(creating: true)
        }
        return try await withHosts { hosts -> PlanExecutor.Report in
            try await apply(inputs, hosts: hosts, options, stop: stop)
        }
    }

    /// How often an apply looks again because something did not answer before it was mended.
    static let passLimit = 3

    private func apply(
        _ inputs: DesiredState.Inputs, hosts: HostPool, _ options: ApplyOptions, stop: StopRequest
    ) async throws -> PlanExecutor.Report {
        let earlier = try Journal.read(settings.journalPath)
        try await awaitInterrupted(earlier, hosts: hosts)
        let faults = FaultPoints(environment: settings.environment)
        var succeeded = 0
        var pass = 1
        while true {
            let survey = try await surveyAndTell(hosts, inputs: inputs)
            let actions = try actions(of: survey, options)
            reporter.report(ProgressEvent(.stage, "apply \(actions.count) changes"))
            let report = try await execute(
                actions, hosts: hosts, stop: stop, limits: options.limits, faults: faults)
            succeeded += report.succeeded
            // What a stopped server could not tell, it can now.
            if options.plan == nil, survey.isBlind, report.isComplete, report.succeeded > 0, pass < Self.passLimit {
                pass += 1
                continue
            }
            var failure = failure(report, survey: survey, earlier: earlier)
            failure.succeeded = succeeded
            if !failure.cells.isEmpty {
                failure.undoing = try await undo(
                    failure.cells, options, survey: survey, inputs: inputs, hosts: hosts, stop: stop)
            }
            try writeClouds()
            try await awaitServing(report, survey)
            guard failure.isEmpty else { throw failure }
            try rememberTopology()
            return .init(outcomes: report.outcomes, notBegun: report.notBegun, earlier: succeeded - report.succeeded)
        }
    }

    private func surveyAndTell(_ hosts: HostPool, inputs: DesiredState.Inputs) async throws -> Survey {
        let title = "look at \(settings.topology.hosts.count) hosts and the cloud"
        let survey: Survey = try await reporter.step(title) { try await self.survey(hosts, inputs: inputs) }
        for (host, why) in survey.facts.unreachable.sorted(by: { $0.key < $1.key }) {
            reporter.report(ProgressEvent(.failed, "unreachable", host: host.text, detail: why))
        }
        return survey
    }

    /// What is to be done: all that the world needs, or just what a saved plan says.
    private func actions(of survey: Survey, _ options: ApplyOptions) throws -> [PlanAction] {
        guard let file = options.plan else {
            try survey.plan.refuseLosses(except: options.allowedLosses)
            return survey.plan.actions
        }
        try survey.plan.refuseLosses(except: options.allowedLosses.union(file.allowDataLoss))
        return try file.actions(topology: settings.topology, desired: survey.desired, observed: survey.facts)
    }

    /// Scripts that a killed run left at work on the hosts end first, so that they and this run do not mix.
    private func awaitInterrupted(_ earlier: [Journal.Entry], hosts: HostPool) async throws {
        let interrupted = Journal.interrupted(earlier)
        guard !interrupted.isEmpty else { return }
        try await reporter.step("the last run was cut short in \(interrupted.count) steps: go on from there") {
            _ = try await parallelMap(hosts.connections.keys.sorted(), limit: FactsCollector.parallel) { name in
                try await hosts.connection(name).run(SSHConnection.awaitOthers, timeout: SSHConnection.othersLimit)
            }
        }
    }

    private func failure(
        _ report: PlanExecutor.Report, survey: Survey, earlier: [Journal.Entry]
    ) -> ApplyFailure {
        let cells = FailedCell.find(in: report, topology: settings.topology, survey: survey, earlier: earlier)
        let paths = Set(cells.map(\.path))
        let own = settings.topology.hosts(onlyOf: paths)
        var failure = ApplyFailure(cells: cells, notBegun: report.notBegun.count, succeeded: report.succeeded)
        var lost = survey.facts.unreachable
        for action in survey.plan.actions {
            guard case .failed(let why) = report.outcomes[action.id] else { continue }
            if report.unreachable.contains(action.id), let host = action.host {
                lost[host] = lost[host] ?? why.lines.first ?? why
            } else if !(action.cell.map(paths.contains) == true || action.host.map(own.contains) == true) {
                // The rest of the text was reported when the step failed.
                failure.failures.append("\(action.id): \(why.lines.first ?? why)")
            }
        }
        if report.isComplete { failure.failures += survey.unseen }
        failure.unreachable = lost.sorted { $0.key < $1.key }.map { "\($0.key) cannot be reached: \($0.value)" }
        return failure
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
}

package import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Topology

/// The end of a cloud.
extension Deployment {
    /// Stops and removes everything of ours on the hosts: processes, units, guests, files, databases, virtual hosts, users;
    /// then the state in `.cellwright`, a lab's own apart. Debian's packages stay, with their own settings again.
    ///
    /// May be repeated after a failure: what is left is found by looking.
    package func destroy(stop: StopRequest) async throws -> PlanExecutor.Report {
        guard FileSystem.exists(settings.stateFolder) else {
            return PlanExecutor.Report(outcomes: [:], notBegun: [])
        }
        let lock = try ExclusiveLock(path: settings.lockPath, command: "cellwright destroy", now: wallClock.now())
        let report = try await destroy(lock, stop: stop)
        return report
    }

    private func destroy(_ lock: borrowing ExclusiveLock, stop: StopRequest) async throws -> PlanExecutor.Report {
        let report = try await withHosts { hosts -> PlanExecutor.Report in
            let facts: ObservedFacts = try await reporter.step("look at \(settings.topology.hosts.count) hosts") {
                try await look(hosts, desired: [])
            }
            let actions = Self.destruction(of: facts)
            reporter.report(ProgressEvent(.stage, "remove \(actions.count) things"))
            try await stopProcesses(facts, hosts: hosts)
            let report = try await execute(actions, hosts: hosts, stop: stop)
            guard report.isComplete, facts.unreachable.isEmpty else {
                throw DestroyFailure(report: report, unreachable: facts.unreachable)
            }
            try await finish(hosts)
            return report
        }
        try await SSHConnection.closeAll(Array(settings.targets.values))
        for entry in try FileManager.default.contentsOfDirectory(atPath: settings.stateFolder) where entry != "lab" {
            try FileSystem.remove("\(settings.stateFolder)/\(entry)")
        }
        FileSystem.removeIfEmpty(settings.stateFolder)
        return report
    }

    /// Removals for all that was found. What goes with a database or a virtual host needs no removal of its own, and
    /// Debian's units are not ours to stop.
    static func destruction(of facts: ObservedFacts) -> [PlanAction] {
        var ours = facts
        ours.observations = facts.observations.filter { id, _ in
            switch id.kind {
            case .cellMapping, .hostQueue, .gate, .schema, .packages, .account, .project, .user, .flavor, .network,
                .image:
                false
            case .unit: id.name.hasPrefix("cellwright-")
            case .directory, .file, .databaseRole, .database, .brokerVhost, .brokerUser, .brokerPermissions: true
            }
        }
        return Plan(desired: DesiredState(resources: []), observed: ours).actions
    }

    /// Everything of ours ends before anything that it uses goes: first agents' guests, then the rest.
    private func stopProcesses(_ facts: ObservedFacts, hosts: HostPool) async throws {
        let units = facts.observations.ids.filter { $0.kind == .unit && $0.name.hasPrefix("cellwright-") }
        let byHost = Dictionary(grouping: units.filter { $0.host != nil }, by: \.host)
        _ = try await parallelMap(byHost.compactMap { host, units in host.map { ($0, units) } }, limit: 8) {
            host, units in
            let names = units.map(\.name).sorted()
            let connection = try hosts.connection(host)
            try await reporter.step("stop \(names.joined(separator: ", "))", host: host.text) {
                try await connection.check(
                    "stop processes", HostScript.stopAll(names), timeout: ActionPerformer.unitTimeout)
                if names.contains(where: { $0.hasPrefix("cellwright-compute") }) {
                    try await connection.check(
                        "remove guests", HostScript.removeGuests, timeout: ActionPerformer.unitTimeout)
                }
            }
        }
    }

    /// What comes last: the account that the removals went through, our system account, and Debian's servers with their
    /// own settings again.
    private func finish(_ hosts: HostPool) async throws {
        let access = access(hosts)
        let performer = performer(hosts)
        for server in settings.topology.brokerServers {
            guard let host = server.host else { continue }
            let script = try access.broker(server)
            if BrokerProbe.isLetIn(try await script.connection.run(script.script.facts(), timeout: .seconds(30))) {
                try await performer.ask(
                    server, [BrokerAdministration.deleteUser(ResourceSpecification.brokerAdministratorName)],
                    what: "remove the broker's administrator")
            }
            try await restart("rabbitmq-server.service", on: host, hosts)
        }
        for server in settings.topology.databaseServers {
            guard let host = server.host else { continue }
            try await restart("postgresql.service", on: host, hosts)
        }
        _ = try await parallelMap(hosts.connections.keys.sorted(), limit: 8) { host in
            try await hosts.connection(host).check(
                "remove the account", HostScript.removeAccount(name: ProcessLayout.serviceAccount))
            try await hosts.connection(host).check("restart libvirt", HostScript.restart("libvirtd.service"))
        }
    }

    private func restart(_ unit: String, on host: HostName, _ hosts: HostPool) async throws {
        try await reporter.step("give \(unit) its own settings again", host: host.text) {
            try await hosts.connection(host).check(
                "restart \(unit)", HostScript.restart(unit), timeout: ActionPerformer.unitTimeout)
        }
    }
}

package struct DestroyFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let report: PlanExecutor.Report
    package let unreachable: [HostName: String]

    package var description: String {
        var parts = report.outcomes.compactMap { id, outcome -> String? in
            if case .failed(let why) = outcome { "\(id): \(why)" } else { nil }
        }.sorted()
        parts += unreachable.sorted { $0.key < $1.key }.map { "host \($0.key) is unreachable: \($0.value)" }
        if !report.notBegun.isEmpty { parts.append("stopped before \(report.notBegun.count) removals") }
        return "something is left: " + parts.joined(separator: "; ") + ". Run `cellwright destroy` again to go on"
    }
}

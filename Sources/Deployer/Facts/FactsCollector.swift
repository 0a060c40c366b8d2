import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Topology

/// Looks at everything of the cloud: hosts, databases, brokers, the API. Changes nothing.
struct FactsCollector: Sendable {
    static let parallel = 16
    static let probeTimeout = Duration.seconds(60)

    let settings: DeploymentSettings
    let hosts: HostPool
    let access: ServerAccess
    let secrets: SecretStore

    private typealias Found = [Resource.ID: ObservedFacts.Observation]

    private enum Subject: Sendable {
        case host(HostName)
        case database(ResourceSpecification.DatabaseServer)
        case broker(ResourceSpecification.BrokerServer)
        case cloud
    }

    private enum Answer: Sendable {
        case found(Found)
        /// With what the server itself says about its unit.
        case database(HostName?, Found, unit: [String: String])
        case unreachable(HostName, String)
    }

    /// - Parameter desired: what the topology wants; things of ours beyond it are found as well.
    func collect(_ desired: [Resource]) async throws -> ObservedFacts {
        let subjects: [Subject] =
            hosts.connections.keys.sorted().map { .host($0) }
            + settings.topology.databaseServers.filter { isReachable($0.host) }.map { .database($0) }
            + settings.topology.brokerServers.filter { isReachable($0.host) }.map { .broker($0) } + [.cloud]
        let answers = try await parallelMap(subjects, limit: Self.parallel) { subject in
            try await look(at: subject, desired)
        }
        var facts = ObservedFacts(unreachable: hosts.unreachable)
        for case .found(let found) in answers { facts.observations.merge(found) { _, new in new } }
        for case .database(let host, let found, let unit) in answers {
            facts.observations.merge(found) { _, new in new }
            addUnitAttributes(unit, host: host, to: &facts)
        }
        for case .unreachable(let host, let why) in answers { facts.unreachable[host] = why }
        return facts
    }

    private func isReachable(_ host: HostName?) -> Bool { host.map { hosts.connections[$0] != nil } ?? true }

    private func look(at subject: Subject, _ desired: [Resource]) async throws -> Answer {
        switch subject {
        case .host(let host):
            let probe = HostProbe(host: host, desired: desired)
            do {
                let output = try await hosts.connection(host).check(
                    "look", probe.script(), timeout: Self.probeTimeout)
                guard let found = probe.observations(output) else {
                    return .unreachable(host, "its answer was cut short")
                }
                return .found(found)
            } catch let failure as HostFailure {
                return .unreachable(host, "\(failure)")
            }
        case .database(let server): return try await look(at: server, desired)
        case .broker(let server): return .found(try await look(at: server, desired))
        case .cloud: return .found(try await cloud(desired))
        }
    }

    // MARK: Databases

    private func look(at server: ResourceSpecification.DatabaseServer, _ desired: [Resource]) async throws -> Answer {
        let (connection, script) = try access.database(server)
        let result = try await connection.run(
            script.facts(settings: [DatabaseProbe.inputsSetting, DatabaseProbe.portSetting]), timeout: Self.probeTimeout)
        let passwords = try passwords(desired) { specification in
            guard case .databaseRole(let owner, let name, let secret) = specification, owner == server else {
                return nil
            }
            return (name, secret)
        }
        let probe = DatabaseProbe(output: result.standardOutput, host: server.host, passwords: passwords)
        guard probe.isComplete else {
            guard server.host == nil else {
                // Not installed or not running: what follows from that is planned from its packages and unit.
                return .found([:])
            }
            let reason = ObservedFacts.Observation.unknown(result.complaint)
            return .found(
                Dictionary(
                    desired.filter { $0.specification.databaseServer == server }.map { ($0.id, reason) },
                    uniquingKeysWith: { first, _ in first }))
        }
        var found = probe.observations
        for resource in desired {
            guard case .schema(_, _, server, let name, _) = resource.specification,
                let digest = probe.migratedBy[name]
            else { continue }
            found[resource.id] = .present(["migratedBy": digest])
        }
        let mappings = try await mappings(in: server, connection, script, databases: probe)
        found.merge(mappings) { _, new in new }
        return .database(server.host, found, unit: probe.unitAttributes)
    }

    /// Children that the parents whose databases are on this server have mapped.
    private func mappings(
        in server: ResourceSpecification.DatabaseServer, _ connection: any HostConnection, _ script: PostgresScript,
        databases: DatabaseProbe
    ) async throws -> Found {
        let names = settings.topology.cells.filter { !$0.children.isEmpty || $0.path.isRoot }
            .map(\.path.resourceName)
            .filter { databases.observations[.init(.database, host: server.host, name: $0)] != nil }
        var found: Found = [:]
        for name in names {
            let output = try await connection.check(
                "read cell mappings", script.query(Self.mappingQuery, database: name), timeout: Self.probeTimeout)
            for line in output.lines {
                let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
                guard fields.count == 7, fields[0] == "cell", let path = CellPath(fields[1]) else { continue }
                found[.init(.cellMapping, cell: path, name: path.name)] = .present([
                    "path": fields[1], "host": fields[2], "port": fields[3], "vhost": fields[4], "user": fields[5],
                    "tls": fields[6] == "true" ? "yes" : "no",
                ])
            }
        }
        return found
    }

    static let mappingQuery = """
        select to_regclass('directory.cells') is not null as mapped \\gset
        \\if :mapped
        select 'cell', path, bus->>'host', bus->>'port', bus->>'vhost', bus->>'user', coalesce(bus->>'tls', 'false') from directory.cells;
        \\endif
        """

    private func addUnitAttributes(_ attributes: [String: String], host: HostName?, to facts: inout ObservedFacts) {
        guard let host else { return }
        let units = facts.observations.keys.filter {
            $0.kind == .unit && $0.host == host && $0.name.hasPrefix("postgresql@")
        }
        for id in units {
            guard case .present(let known) = facts.observations[id] else { continue }
            facts.observations[id] = .present(known.merging(attributes) { _, new in new })
        }
    }

    // MARK: Brokers

    private func look(at server: ResourceSpecification.BrokerServer, _ desired: [Resource]) async throws -> Found {
        let (connection, script) = try access.broker(server)
        let result = try await connection.run(script.facts(), timeout: Self.probeTimeout)
        let passwords = try passwords(desired) { specification in
            guard case .brokerUser(let owner, let user) = specification, owner == server else { return nil }
            return (user.name, user.secret)
        }
        do {
            let probe = try BrokerProbe(
                output: result.standardOutput, host: server.host, passwords: passwords,
                administrator: ResourceSpecification.brokerAdministratorName)
            return probe.observations.merging(queues(probe.queues, of: server, desired)) { _, new in new }
        } catch let failure as BrokerProbe.Failure {
            guard server.host == nil else { return [:] }
            let reason = ObservedFacts.Observation.unknown(
                failure == .refused ? "the broker refuses the administrator" : result.complaint)
            return Dictionary(
                desired.filter { $0.specification.brokerServer == server }.map { ($0.id, reason) },
                uniquingKeysWith: { first, _ in first })
        }
    }

    /// Queues of compute hosts, in cells that the topology has.
    private func queues(
        _ queues: Set<BrokerProbe.Queue>, of server: ResourceSpecification.BrokerServer, _ desired: [Resource]
    ) -> Found {
        var found: Found = [:]
        var wanted: Set<BrokerProbe.Queue> = []
        for resource in desired {
            guard case .hostQueue(_, _, let host) = resource.specification, let cell = resource.id.cell else {
                continue
            }
            let queue = BrokerProbe.Queue(vhost: cell.resourceName, name: CellTopology.hostQueue(host.text))
            wanted.insert(queue)
            if queues.contains(queue) { found[resource.id] = .present([:]) }
        }
        let cells = Dictionary(
            settings.topology.cells.map { ($0.path.resourceName, $0.path) }, uniquingKeysWith: { first, _ in first })
        for queue in queues.subtracting(wanted) where queue.name.hasPrefix("host.") {
            guard let cell = cells[queue.vhost] else { continue }
            found[.init(.hostQueue, cell: cell, name: String(queue.name.dropFirst(5)))] = .present([:])
        }
        return found
    }

    // MARK: Cloud

    /// Objects of the cloud; none when nobody can log in yet.
    private func cloud(_ desired: [Resource]) async throws -> Found {
        let objects = desired.filter { [.project, .user, .flavor, .network, .image].contains($0.id.kind) }
        let passwords = UserPasswords(settings: settings, secrets: secrets)
        guard !objects.isEmpty, let password = try passwords.existing(of: passwords.administrator) else { return [:] }
        do {
            let name = BootstrapDocument.administratorName
            let client = try await CloudClient.login(
                url: settings.topology.publicURL, authority: settings.authorityPath, user: name, password: password,
                project: name)
            return try await CloudProbe(client: client, desired: objects).observations()
        } catch is CloudClient.Failure {
            return [:]
        }
    }

    private func passwords(
        _ desired: [Resource], _ pick: (ResourceSpecification) -> (String, SecretName)?
    ) throws -> [String: Secret] {
        var found: [String: Secret] = [:]
        for resource in desired {
            guard let (name, secret) = pick(resource.specification) else { continue }
            found[name] = try secrets.existing(secret)
        }
        return found
    }
}

extension ResourceSpecification {
    /// The database server that it is about.
    var databaseServer: DatabaseServer? {
        switch self {
        case .databaseRole(let server, _, _), .database(let server, _, _), .schema(_, _, let server, _, _): server
        case .packages, .account, .directory, .file, .unit, .brokerVhost, .brokerAdministrator, .brokerUser,
            .brokerPermissions, .gate, .cellMapping, .hostQueue, .project, .user, .flavor, .network, .image:
            nil
        }
    }

    /// The broker that it is about.
    var brokerServer: BrokerServer? {
        switch self {
        case .brokerVhost(let server, _), .brokerAdministrator(let server, _), .brokerUser(let server, _),
            .brokerPermissions(let server, _, _):
            server
        case .packages, .account, .directory, .file, .unit, .databaseRole, .database, .schema, .gate, .cellMapping,
            .hostQueue, .project, .user, .flavor, .network, .image:
            nil
        }
    }
}

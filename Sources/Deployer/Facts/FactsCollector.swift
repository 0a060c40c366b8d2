import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Topology

/// Looks at everything of the cloud: hosts, databases, brokers, the API. Changes nothing.
struct FactsCollector: Sendable {
    static let parallel = 16
    static let probeTimeout = Duration.seconds(60)
    /// PostgreSQL and RabbitMQ answer what they are asked here within a second or two.
    static let serverTimeout = Duration.seconds(25)

    let settings: DeploymentSettings
    let hosts: HostPool
    let access: ServerAccess
    let secrets: SecretStore

    private typealias Found = [Resource.ID: ObservedFacts.Observation]

    private enum Subject: Sendable {
        /// With what is wanted there.
        case host(HostName, [Resource])
        case database(ResourceSpecification.DatabaseServer)
        case broker(ResourceSpecification.BrokerServer)
        case cloud
    }

    private enum Answer: Sendable {
        case found(Found)
        /// With what the server itself says about its unit.
        case database(HostName?, Found, unit: [String: String], usage: [CellPath: CellUsage])
        case unreachable(HostName, String)
        /// A server of ours did not answer: so these are unknown, unless it never ran there.
        case silent([Resource.ID], String, sign: Resource.ID)
    }

    /// - Parameter desired: what the topology wants; things of ours beyond it are found as well.
    func collect(_ desired: [Resource]) async throws -> ObservedFacts {
        let wanted = Dictionary(grouping: desired, by: \.id.host)
        let subjects: [Subject] =
            hosts.connections.keys.sorted().map { .host($0, wanted[$0] ?? []) }
            + settings.topology.databaseServers.filter { isReachable($0.host) }.map { .database($0) }
            + settings.topology.brokerServers.filter { isReachable($0.host) }.map { .broker($0) } + [.cloud]
        let answers = try await parallelMap(subjects, limit: Self.parallel) { subject in
            try await look(at: subject, desired)
        }
        var facts = ObservedFacts(unreachable: hosts.unreachable)
        for case .found(let found) in answers { facts.observations.add(found) }
        for case .database(let host, let found, let unit, let usage) in answers {
            facts.usage.merge(usage) { _, new in new }
            facts.observations.add(found)
            addUnitAttributes(unit, host: host, to: &facts)
        }
        for case .unreachable(let host, let why) in answers { facts.unreachable[host] = why }
        for case .silent(let resources, let why, let sign) in answers {
            guard case .present = facts[sign] else { continue }
            facts.observations.add(
                Dictionary(resources.map { ($0, .unknown(why)) }, uniquingKeysWith: { first, _ in first }))
        }
        return facts
    }

    private func isReachable(_ host: HostName?) -> Bool { host.map { hosts.connections[$0] != nil } ?? true }

    private func look(at subject: Subject, _ desired: [Resource]) async throws -> Answer {
        switch subject {
        case .host(let host, let wanted):
            let probe = HostProbe(host: host, wanted: wanted)
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
        case .broker(let server): return try await look(at: server, desired)
        case .cloud: return try await cloud(desired)
        }
    }

    /// A server program that is frozen is as silent as one that is stopped.
    private func ask(_ connection: any HostConnection, _ script: String) async throws -> CommandResult {
        do {
            return try await connection.run(script, timeout: Self.serverTimeout)
        } catch let failure as HostFailure {
            guard case .timedOut(let limit) = failure.reason else { throw failure }
            return CommandResult(
                status: 1, standardOutput: "", standardError: "no answer within \(limit.components.seconds) s")
        }
    }

    // MARK: Databases

    private func look(at server: ResourceSpecification.DatabaseServer, _ desired: [Resource]) async throws -> Answer {
        let (connection, script) = try access.database(server)
        let result = try await ask(
            connection, script.facts(settings: [DatabaseProbe.inputsSetting, DatabaseProbe.portSetting]))
        let passwords = try passwords(desired) { specification in
            guard case .databaseRole(let owner, let name, let secret) = specification, owner == server else {
                return nil
            }
            return (name, secret)
        }
        let probe = DatabaseProbe(output: result.standardOutput, host: server.host, passwords: passwords)
        guard probe.isComplete else {
            return Self.silent(
                desired.filter { $0.specification.databaseServer == server }.map(\.id) + mappingIDs(in: server),
                "PostgreSQL does not answer: \(result.complaint.lines.first ?? "")", host: server.host,
                sign: DebianFiles.postgresSettingsPath)
        }
        var found = probe.observations
        for resource in desired {
            guard case .schema(_, _, server, let name, _) = resource.specification,
                let digest = probe.migratedBy[name]
            else { continue }
            found[resource.id] = .present(["migratedBy": digest])
        }
        let cells = try await lookIntoCells(connection, script, databases: probe, host: server.host)
        found.merge(cells.mappings) { _, new in new }
        return .database(server.host, found, unit: probe.unitAttributes, usage: cells.usage)
    }

    /// What the cells' databases on this server hold: children that a parent has mapped, and servers.
    private func lookIntoCells(
        _ connection: any HostConnection, _ script: PostgresScript, databases: DatabaseProbe, host: HostName?
    ) async throws -> CellContentProbe {
        let names = databases.observations.keys.filter { $0.kind == .database }.map(\.name).sorted()
        guard !names.isEmpty else { return CellContentProbe(output: "") }
        let output = try await connection.check(
            "look into the cells' databases", script.queries(CellContentProbe.query, databases: names),
            timeout: Self.probeTimeout)
        return CellContentProbe(output: output)
    }

    private func addUnitAttributes(_ attributes: [String: String], host: HostName?, to facts: inout ObservedFacts) {
        guard let host else { return }
        let unit = Resource.ID(.unit, host: host, name: DebianFiles.postgresUnit)
        guard case .present(let known) = facts.observations[unit] else { return }
        facts.observations[unit] = .present(known.merging(attributes) { _, new in new })
    }

    // MARK: Brokers

    private func look(at server: ResourceSpecification.BrokerServer, _ desired: [Resource]) async throws -> Answer {
        let (connection, script) = try access.broker(server)
        let result = try await ask(connection, script.facts())
        let passwords = try passwords(desired) { specification in
            guard case .brokerUser(let owner, let user) = specification, owner == server else { return nil }
            return (user.name, user.secret)
        }
        do {
            let probe = try BrokerProbe(
                output: result.standardOutput, host: server.host, passwords: passwords,
                administrator: ResourceSpecification.brokerAdministratorName)
            return .found(probe.observations.merging(queues(probe.queues, of: server, desired)) { _, new in new })
        } catch let failure as BrokerProbe.Failure {
            // The administrator of a broker of ours is made with whatever password it has now.
            let isOurs = server.host != nil
            let ids = desired.filter { resource in
                if case .brokerAdministrator = resource.specification { return !isOurs }
                return resource.specification.brokerServer == server || isQueue(resource, of: server)
            }.map(\.id)
            let why =
                failure == .refused
                ? "the broker refuses the administrator" : "RabbitMQ does not answer: \(result.complaint)"
            return Self.silent(ids, why, host: server.host, sign: HostProbe.brokerSettings)
        }
    }

    /// Of a server of ours the sign that it ran before is a file of its settings; one of somebody else's always did.
    private static func silent(_ ids: [Resource.ID], _ why: String, host: HostName?, sign path: String) -> Answer {
        guard let host else {
            return .found(Dictionary(ids.map { ($0, .unknown(why)) }, uniquingKeysWith: { first, _ in first }))
        }
        return .silent(ids, why, sign: .init(.file, host: host, name: path))
    }

    private func isQueue(_ resource: Resource, of server: ResourceSpecification.BrokerServer) -> Bool {
        guard resource.id.kind == .hostQueue, let cell = resource.id.cell.flatMap(settings.topology.cell) else {
            return false
        }
        return cell.brokerServer == server
    }

    /// Mappings that parents with a database on this server keep.
    private func mappingIDs(in server: ResourceSpecification.DatabaseServer) -> [Resource.ID] {
        settings.topology.cells.filter { $0.databaseServer == server }.flatMap(\.children).map {
            .init(.cellMapping, cell: $0.path, name: $0.name)
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

    /// Objects of the cloud; none when there is no API yet.
    private func cloud(_ desired: [Resource]) async throws -> Answer {
        let objects = desired.filter { [.project, .user, .flavor, .network, .image].contains($0.id.kind) }
        let passwords = UserPasswords(settings: settings, secrets: secrets)
        guard !objects.isEmpty, let password = try passwords.existing(of: passwords.administrator) else {
            return .found([:])
        }
        let cache = TokenCache(
            path: settings.tokenPath, url: settings.topology.publicURL, authority: settings.authorityPath)
        do {
            if let client = cache.client() {
                return .found(try await CloudProbe(client: client, desired: objects).observations())
            }
        } catch let failure as CloudClient.Failure {
            if failure.status != 401 { return silentCloud(objects, failure) }
        }
        do {
            let name = BootstrapDocument.administratorName
            let client = try await CloudClient.login(
                url: settings.topology.publicURL, authority: settings.authorityPath, user: name, password: password,
                project: name)
            try cache.keep(client)
            return .found(try await CloudProbe(client: client, desired: objects).observations())
        } catch let failure as CloudClient.Failure {
            // An administrator who is not known yet is made with the first of the objects.
            return failure.status == 401 ? .found([:]) : silentCloud(objects, failure)
        }
    }

    private func silentCloud(_ objects: [Resource], _ failure: CloudClient.Failure) -> Answer {
        let process = ProcessLayout(settings.topology).processes.first { $0.kind == .api }
        let host = process.map(\.host)
        let path = process.map { "\(ProcessLayout.Paths.units)/\($0.unit)" } ?? ""
        return Self.silent(objects.map(\.id), "the API does not answer: \(failure.detail)", host: host, sign: path)
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

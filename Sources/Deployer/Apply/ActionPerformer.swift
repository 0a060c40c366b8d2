import CloudModel
import Crypto
import FoundationEssentials
import MessageBus
import Primitives
import Topology

/// Carries out one action of a plan. Each may be repeated: a second time changes nothing.
struct ActionPerformer: Sendable {
    static let installTimeout = Duration.seconds(900)
    static let unitTimeout = Duration.seconds(120)
    static let migrateTimeout = Duration.seconds(300)
    static let gateSeconds = 60
    static let gateLogLines = 15

    let settings: DeploymentSettings
    let hosts: HostPool
    let access: ServerAccess
    let secrets: SecretStore
    let binaries: BinaryCache
    let layout: ProcessLayout
    let bootstrapOrder: Bulkhead
    let executableOrder = ExecutableOrder()
    /// How long a process has to answer with a new executable, unless it ends before; `nil` outside of upgrades.
    var upgradeGateSeconds: Int?

    init(
        settings: DeploymentSettings, hosts: HostPool, access: ServerAccess, secrets: SecretStore,
        binaries: BinaryCache, layout: ProcessLayout
    ) {
        self.settings = settings
        self.hosts = hosts
        self.access = access
        self.secrets = secrets
        self.binaries = binaries
        self.layout = layout
        bootstrapOrder = Bulkhead(name: "bootstrap", limit: 1, waiting: 10_000)
    }

    func perform(_ action: PlanAction) async throws {
        guard let specification = action.specification else { return try await remove(action.resource) }
        switch specification {
        case .packages, .account, .directory, .file, .unit, .gate: try await onHost(action, specification)
        case .databaseRole, .database, .schema: try await onDatabase(specification)
        case .brokerVhost, .brokerAdministrator, .brokerUser, .brokerPermissions: try await onBroker(specification)
        case .cellMapping(let mapping): try await map(mapping, passwords: [try secrets.value(mapping.password)])
        case .hostQueue(let host, let path, let computeHost):
            try await tool(
                ["host", "put"], on: host, configuration: path,
                input: .object(["name": .string(computeHost.text)]), what: "declare a host's queue")
        case .project, .user, .flavor, .network:
            try await bootstrapOrder.run { try await bootstrap(specification) }
        case .image(let image): try await upload(image)
        }
    }

    // MARK: Hosts

    private func onHost(_ action: PlanAction, _ specification: ResourceSpecification) async throws {
        guard let name = action.host else { return }
        let host = try hosts.connection(name)
        switch specification {
        case .packages(let names):
            try await host.check("install packages", HostScript.install(names), timeout: Self.installTimeout)
        case .account(let name, let home):
            try await host.checkShort("make an account", HostScript.account(name: name, home: home))
        case .directory(let directory): try await host.checkShort("make a folder", HostScript.directory(directory))
        case .file(let file): try await write(file, on: host)
        case .unit(let unit):
            let script =
                unit.name.hasPrefix("postgresql@")
                ? HostScript.databaseUnit(unit.name, inputs: unit.inputs)
                : HostScript.unit(unit.name, inputs: unit.inputs, effect: action.effect)
            try await host.check("start \(unit.name)", script, timeout: Self.unitTimeout)
        case .gate(_, let endpoint): try await wait(for: endpoint, unit: action.resource.name, on: host)
        default: preconditionFailure("\(action.id) is nothing on a host")
        }
    }

    private func write(_ file: ResourceSpecification.File, on host: any HostConnection) async throws {
        let content: Data
        switch file.content {
        case .text(let text): content = Data(text.utf8)
        case .secret(let name): content = Data((try secrets.value(name).reveal() + "\n").utf8)
        case .binary(let name):
            return try await put(try await binaries.binary(name), at: file, on: host)
        }
        try await host.checkShort(
            "write \(file.path)",
            HostScript.file(path: file.path, mode: file.mode, owner: file.owner, content: content))
    }

    /// Under another name, or from a package, the executable may be there already.
    private func put(
        _ binary: BinaryCache.Binary, at file: ResourceSpecification.File, on host: any HostConnection
    ) async throws {
        try await executableOrder.run(host: host.name, digest: binary.digest) {
            let script = HostScript.linkExecutable(
                to: file.path, digest: binary.digest, bytes: binary.bytes, mode: file.mode, owner: file.owner)
            if try await host.check("link \(file.path)", script).trimmed == HostScript.linked { return }
            try await host.upload(
                compressed: binary.compressed, digest: binary.digest, to: file.path, mode: file.mode,
                owner: file.owner)
        }
    }

    private func wait(
        for endpoint: ProcessConfiguration.Endpoint, unit: String, on host: any HostConnection
    ) async throws {
        let what = "wait for \(unit)"
        let timeout = Duration.seconds(Self.gateSeconds + 30)
        let script =
            upgradeGateSeconds.map { UpgradeScript.gate(endpoint, unit: unit, seconds: $0) }
            ?? HostScript.gate(endpoint, seconds: Self.gateSeconds)
        let result = try await host.run(script, timeout: timeout)
        if result.status == 0 { return }
        let log = try await host.run(
            HostScript.log(of: unit, lines: Self.gateLogLines), timeout: .seconds(10)
        ).standardOutput
        throw HostFailure(
            host: host.name, what: what,
            reason: .status(result.status, "\(result.complaint); its log ends with:\n\(log.trimmed)"))
    }

    // MARK: Servers

    private func onDatabase(_ specification: ResourceSpecification) async throws {
        switch specification {
        case .databaseRole(let server, let name, let password):
            try await makeRole(name, on: server, password: try secrets.value(password))
        case .database(let server, let name, let owner):
            let (connection, script) = try access.database(server)
            try await connection.check("make database \(name)", script.makeDatabase(name, owner: owner))
        case .schema(let host, let path, let server, let name, let digest):
            try await tool(
                ["migrate"], on: host, configuration: path, input: nil,
                what: "bring the schema of \(name) up to date", timeout: Self.migrateTimeout)
            let (connection, script) = try access.database(server)
            try await connection.check("note the migration", script.noteMigration(name, by: digest))
        default: preconditionFailure("not about a database")
        }
    }

    private func onBroker(_ specification: ResourceSpecification) async throws {
        switch specification {
        case .brokerAdministrator(let server, let password):
            // Made before the script that logs in with it is.
            let secret = try secrets.value(password)
            let (connection, script) = try access.broker(server)
            try await connection.check(
                "make the broker's administrator",
                script.makeAdministrator(ResourceSpecification.brokerAdministratorName, password: secret),
                timeout: Self.unitTimeout)
        case .brokerVhost(let server, let name):
            try await ask(server, [BrokerAdministration.createVHost(name)], what: "make virtual host \(name)")
        case .brokerUser(let server, let user):
            try await makeUser(user, on: server, password: try secrets.value(user.secret))
        case .brokerPermissions(let server, let vhost, let user):
            try await ask(
                server, BrokerAdministration.grant(user.permissions, to: user.name, vhost: vhost),
                what: "permit broker user \(user.name)")
        default: preconditionFailure("not about a broker")
        }
    }

    private func makeRole(
        _ name: String, on server: ResourceSpecification.DatabaseServer, password: Secret
    ) async throws {
        let (connection, script) = try access.database(server)
        try await connection.check(
            "make database role \(name)", script.makeRole(name, password: password, salt: Self.salt(bytes: 16)))
    }

    private func makeUser(
        _ user: ProcessLayout.BrokerUser, on server: ResourceSpecification.BrokerServer, password: Secret
    ) async throws {
        let salt = Self.salt(bytes: 4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let hash = BrokerAdministration.PasswordHash(password, salt: salt)
        try await ask(
            server, [BrokerAdministration.createUser(user.name, password: hash)],
            what: "make broker user \(user.name)")
    }

    /// Has a server take a new password. Sessions that are open stay.
    func give(_ password: Secret, to holder: SecretRotation.Holder) async throws {
        switch holder {
        case .database(.embedded(let server), let role):
            try await makeRole(role, on: .embedded(server), password: password)
        case .database(.existing(let server), let role):
            try await makeRole(role, on: .existing(server), password: password)
        case .broker(.embedded(let server), let user):
            try await makeUser(user, on: .embedded(server), password: password)
        case .broker(.existing(let server), let user):
            try await makeUser(user, on: .existing(server), password: password)
        }
    }

    func ask(
        _ server: ResourceSpecification.BrokerServer, _ requests: [BrokerRequest], what: String
    ) async throws {
        let (connection, script) = try access.broker(server)
        try await connection.checkShort(what, try script.perform(requests))
    }

    private static func salt(bytes count: Int) -> [UInt8] {
        SymmetricKey(size: .init(bitCount: count * 8)).withUnsafeBytes { Array($0) }
    }

    // MARK: Services

    /// Runs a command of a process's executable on its host, as the service's own account, with JSON on standard input.
    @discardableResult
    func tool(
        _ arguments: [String], on host: HostName, configuration: String,
        input: JSONValue?, what: String, timeout: Duration = .seconds(60)
    ) async throws -> String {
        let executable = ProcessLayout.binaryPath(configurationPath: configuration)
        let words = [executable] + arguments + ["--config", configuration]
        let call = "cd /; runuser -u \(ProcessLayout.serviceAccount) -- \(HostScript.words(words))"
        guard let input else { return try await hosts.connection(host).check(what, call, timeout: timeout) }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(input), as: UTF8.self)
        return try await hosts.connection(host).check(
            what, "\(call) <<'CELLWRIGHT'\n\(text)\nCELLWRIGHT", timeout: timeout)
    }

    /// - Parameter passwords: the parent's in the child's virtual host: the one that is valid, then the one that will be.
    func map(_ mapping: ResourceSpecification.CellMapping, passwords: [Secret]) async throws {
        let bus = mapping.bus
        guard let password = passwords.first else { return }
        try await tool(
            ["cell", "put"], on: mapping.host, configuration: mapping.parentConfigurationPath,
            input: .object([
                "path": .string(mapping.child.description), "name": .string(mapping.child.name),
                "bus": .object([
                    "host": .string(bus.host), "port": .integer(Int64(bus.port)), "vhost": .string(bus.vhost),
                    "user": .string(bus.user), "password": .string(password.reveal()),
                    "nextPassword": passwords.dropFirst().first.map { .string($0.reveal()) } ?? .null,
                    "tls": .bool(bus.tls != nil),
                ]),
            ]), what: "map cell \(mapping.child)")
    }

    /// Makes an object by the API's own command, which needs nobody who could log in yet. The administrator comes along
    /// each time: the first call makes it.
    private func bootstrap(_ specification: ResourceSpecification) async throws {
        let passwords = UserPasswords(settings: settings, secrets: secrets)
        var document = BootstrapDocument.administrator(password: try passwords.password(of: passwords.administrator))
        switch specification {
        case .project(let project): document.add(project)
        case .user(let user): document.add(user, password: try passwords.password(of: user))
        case .flavor(let flavor): document.add(flavor)
        case .network(let network): document.add(network)
        default: preconditionFailure("not an object of the cloud")
        }
        guard let process = layout.processes.first(where: { $0.kind == .api }) else { return }
        let data = try JSONEncoder().encode(document)
        try await tool(
            ["bootstrap"], on: process.host, configuration: process.configurationPath,
            input: try JSONDecoder().decode(JSONValue.self, from: data), what: "bootstrap")
        if case .project(let project) = specification { try await limit(project) }
    }

    private func limit(_ project: Topology.Project) async throws {
        guard !project.quota.isEmpty else { return }
        let client = try await login()
        let projects = try await client.list("/identity/v3/projects", key: "projects")
        guard let id = projects.first(where: { $0["name"]?.string == project.name })?["id"]?.string else {
            throw SecretFailure("project \(project.name) is not there after it was made")
        }
        try await ProjectQuota(client: client, project: id).set(project.quota)
    }

    private func login() async throws -> CloudClient {
        let passwords = UserPasswords(settings: settings, secrets: secrets)
        let name = BootstrapDocument.administratorName
        return try await CloudClient.login(
            url: settings.topology.publicURL, authority: settings.authorityPath, user: name,
            password: try passwords.password(of: passwords.administrator), project: name)
    }

    private func upload(_ image: Topology.Image) async throws {
        let client = try await login()
        let file = FileSystem.resolve(image.file, in: settings.topologyFolder)
        guard FileSystem.exists(file) else {
            throw SecretFailure("the file of image \(image.name) is missing: \(file)")
        }
        let digest = try Digest.sha512OfFile(file)
        for old in try await client.list("/image/v2/images", key: "images") where old["name"]?.string == image.name {
            if old["status"]?.string == "active", old["os_hash_value"]?.string == digest,
                old["disk_format"]?.string == image.diskFormat.rawValue
            {
                return
            }
            if let id = old["id"]?.string { _ = try await client.json(.delete, "/image/v2/images/\(id)") }
        }
        try await client.upload(image: image.name, diskFormat: image.diskFormat.rawValue, file: file)
    }
}

import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Topology

/// A private RabbitMQ of a development cloud. Virtual hosts, users and permissions are read from a file when it starts.
struct DevBroker: Sendable {
    static let readyLimit = Duration.seconds(60)
    private static let server = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    private static let epmd = "/usr/bin/epmd"

    private static let searchPath = "/usr/sbin:/usr/bin:/sbin:/bin"

    let layout: DevLayout
    let name: String
    let ports: DevLayout.Broker
    /// Cells that have their virtual hosts there.
    let cells: [Topology.Cell]

    /// The broker that cells share, then those of cells with one of their own.
    static func servers(_ layout: DevLayout) throws -> [DevBroker] {
        guard FileSystem.exists(server), FileSystem.exists(epmd) else {
            throw DevFailure("RabbitMQ is not installed: apt-get install rabbitmq-server")
        }
        let own = layout.ports.ownBrokers
        let cells = layout.topology.cells
        let shared = DevBroker(
            layout: layout, name: "rabbitmq", ports: layout.ports.broker, cells: cells.filter { own[$0.path] == nil })
        return [shared]
            + cells.compactMap { cell in
                own[cell.path].map { ports in
                    DevBroker(layout: layout, name: "rabbitmq-\(cell.path.slug)", ports: ports, cells: [cell])
                }
            }
    }

    /// The name server of Erlang nodes, ours alone and in the foreground, so that it ends with the rest.
    static func nameServer(_ layout: DevLayout) -> DevProcess.Specification {
        .init(
            name: "epmd", program: epmd, arguments: ["-port", String(layout.ports.epmd), "-address", "127.0.0.1"],
            environment: ["PATH": searchPath], isIsolated: true, log: layout.log("epmd"), grace: .milliseconds(300))
    }

    private var folder: String { "\(layout.folder)/\(name)" }

    func specification() -> DevProcess.Specification {
        .init(
            name: name, program: Self.server,
            environment: [
                "PATH": Self.searchPath, "LC_ALL": "C.UTF-8", "HOME": "\(folder)/home",
                "RABBITMQ_NODENAME": "cellwright-dev-\(name)@localhost", "RABBITMQ_MNESIA_BASE": "\(folder)/mnesia",
                "RABBITMQ_LOG_BASE": "\(folder)/log", "RABBITMQ_LOGS": "-",
                "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": String(ports.messages),
                "RABBITMQ_DIST_PORT": String(ports.distribution),
                "ERL_EPMD_PORT": String(layout.ports.epmd),
                "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_ENABLED_PLUGINS_FILE": "\(folder)/enabled_plugins",
                "RABBITMQ_CONFIG_FILE": "\(folder)/rabbitmq", "RABBITMQ_PID_FILE": "\(folder)/pid",
                "RABBITMQ_CONF_ENV_FILE": "/dev/null",
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                    "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none "
                    + "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
            ],
            isIsolated: true,  // Its data go with it, so an orderly end is worth no wait.
            log: layout.log(name), grace: .milliseconds(300))
    }

    /// Writes its configuration.
    func prepare(_ secrets: SecretStore) throws {
        for part in ["home", "mnesia", "log"] { try FileSystem.makeFolder("\(folder)/\(part)") }
        try PrivateFile.write("[rabbitmq_management].\n", to: "\(folder)/enabled_plugins")
        try PrivateFile.write(
            """
            management.tcp.ip = 127.0.0.1
            management.tcp.port = \(ports.management)
            load_definitions = \(definitionsFile)
            vm_memory_high_watermark.absolute = 1GB
            disk_free_limit.absolute = 50MB
            max_message_size = \(Envelope.bodyLimitBytes)
            log.console = true
            log.console.level = warning

            """, to: "\(folder)/rabbitmq.conf")
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try PrivateFile.write(try encoder.encode(try definitions(secrets)), to: definitionsFile)
    }

    /// Waits until it takes connections.
    func waitUntilReady() async throws {
        let isReady = try await poll(every: .milliseconds(50), for: Self.readyLimit) {
            DevPorts.answers(ports.messages)
        }
        guard isReady else {
            throw DevFailure(
                "\(name) is not ready after \(Self.readyLimit.components.seconds) s; its log ends with:\n"
                    + DevProcess.tail(of: layout.log(name)))
        }
    }

    private var definitionsFile: String { "\(folder)/definitions.json" }

    /// The same requests that ``BrokerAdministration`` has for a running broker, as the document that it reads at start.
    private func definitions(_ secrets: SecretStore) throws -> JSONValue {
        var users = [
            try user(
                ResourceSpecification.brokerAdministratorName, tags: ["administrator"],
                secrets.value(.brokerAdministrator(Topology.devMachine)))
        ]
        var permissions: [JSONValue] = []
        var topicPermissions: [JSONValue] = []
        for user in layout.processLayout.brokerUsers where cells.contains(where: { $0.path == user.cell }) {
            let vhost = JSONValue.string(user.cell.resourceName)
            users.append(try self.user(user.name, secrets.value(user.secret)))
            let rights = user.permissions
            permissions.append(
                .object([
                    "user": .string(user.name), "vhost": vhost, "configure": .string(rights.configure),
                    "write": .string(rights.write), "read": .string(rights.read),
                ]))
            for topic in rights.topics {
                topicPermissions.append(
                    .object([
                        "user": .string(user.name), "vhost": vhost, "exchange": .string(topic.exchange),
                        "write": .string(topic.write), "read": .string(topic.read),
                    ]))
            }
        }
        return .object([
            "vhosts": .array(cells.map { .object(["name": .string($0.path.resourceName)]) }),
            "users": .array(users), "permissions": .array(permissions), "topic_permissions": .array(topicPermissions),
        ])
    }

    private func user(_ name: String, tags: [String] = [], _ password: Secret) throws -> JSONValue {
        // Any four bytes that differ from user to user will do as salt.
        let salt = UInt32(Digest.of("\(name) \(password.reveal())").prefix(8), radix: 16) ?? 0
        let request = BrokerAdministration.createUser(
            name, password: BrokerAdministration.PasswordHash(password, salt: salt), tags: tags)
        var members = request.body?.object ?? [:]
        members["name"] = .string(name)
        return .object(members)
    }
}

import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Topology

/// The private RabbitMQ of a development cloud. Virtual hosts, users and permissions are read from a file when it starts.
struct DevBroker: Sendable {
    static let readyLimit = Duration.seconds(60)
    private static let server = "/usr/lib/rabbitmq/bin/rabbitmq-server"
    private static let epmd = "/usr/bin/epmd"

    let layout: DevLayout

    init(layout: DevLayout) throws {
        self.layout = layout
        guard FileSystem.exists(Self.server), FileSystem.exists(Self.epmd) else {
            throw DevFailure("RabbitMQ is not installed: apt-get install rabbitmq-server")
        }
    }

    /// The name server of Erlang nodes, ours alone and in the foreground, so that it ends with the rest; then the broker.
    func specifications() -> [DevProcess.Specification] {
        let path = "/usr/sbin:/usr/bin:/sbin:/bin"
        let port = String(layout.ports.epmd)
        let epmd = DevProcess.Specification(
            name: "epmd", program: Self.epmd, arguments: ["-port", port, "-address", "127.0.0.1"],
            environment: ["PATH": path], isIsolated: true, log: layout.log("epmd"), grace: .milliseconds(300))
        let folder = layout.brokerFolder
        let broker = DevProcess.Specification(
            name: "rabbitmq", program: Self.server,
            environment: [
                "PATH": path, "LC_ALL": "C.UTF-8", "HOME": "\(folder)/home",
                "RABBITMQ_NODENAME": "cellwright-dev@localhost", "RABBITMQ_MNESIA_BASE": "\(folder)/mnesia",
                "RABBITMQ_LOG_BASE": "\(folder)/log", "RABBITMQ_LOGS": "-",
                "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1", "RABBITMQ_NODE_PORT": String(layout.ports.broker),
                "RABBITMQ_DIST_PORT": String(layout.ports.distribution), "ERL_EPMD_PORT": port,
                "ERL_EPMD_ADDRESS": "127.0.0.1", "RABBITMQ_ENABLED_PLUGINS_FILE": "\(folder)/enabled_plugins",
                "RABBITMQ_CONFIG_FILE": "\(folder)/rabbitmq", "RABBITMQ_PID_FILE": "\(folder)/pid",
                "RABBITMQ_CONF_ENV_FILE": "/dev/null",
                "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS":
                    "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none "
                    + "-kernel inet_dist_use_interface {127,0,0,1} -start_epmd false",
            ],
            isIsolated: true,  // Its data go with it, so an orderly end is worth no wait.
            log: layout.log("rabbitmq"), grace: .milliseconds(300))
        return [epmd, broker]
    }

    /// Writes its configuration.
    func prepare(_ secrets: SecretStore) throws {
        for name in ["home", "mnesia", "log"] { try FileSystem.makeFolder("\(layout.brokerFolder)/\(name)") }
        try PrivateFile.write("[rabbitmq_management].\n", to: "\(layout.brokerFolder)/enabled_plugins")
        try PrivateFile.write(
            """
            management.tcp.ip = 127.0.0.1
            management.tcp.port = \(layout.ports.management)
            load_definitions = \(definitionsFile)
            vm_memory_high_watermark.absolute = 1GB
            disk_free_limit.absolute = 50MB
            log.console = true
            log.console.level = warning

            """, to: "\(layout.brokerFolder)/rabbitmq.conf")
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        try PrivateFile.write(try encoder.encode(try definitions(secrets)), to: definitionsFile)
    }

    /// Waits until it takes connections.
    func waitUntilReady() async throws {
        let isReady = try await poll(every: .milliseconds(50), for: Self.readyLimit) {
            DevPorts.answers(layout.ports.broker)
        }
        guard isReady else {
            throw DevFailure(
                "RabbitMQ is not ready after \(Self.readyLimit.components.seconds) s; its log ends with:\n"
                    + DevProcess.tail(of: layout.log("rabbitmq")))
        }
    }

    private var definitionsFile: String { "\(layout.brokerFolder)/definitions.json" }

    /// The same requests that ``BrokerAdministration`` has for a running broker, as the document that it reads at start.
    private func definitions(_ secrets: SecretStore) throws -> JSONValue {
        var users = [
            try user(
                ResourceSpecification.brokerAdministratorName, tags: ["administrator"],
                secrets.value(.brokerAdministrator(Topology.devMachine)))
        ]
        var permissions: [JSONValue] = []
        var topicPermissions: [JSONValue] = []
        for user in layout.processLayout.brokerUsers {
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
            "vhosts": .array(layout.topology.cells.map { .object(["name": .string($0.path.resourceName)]) }),
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

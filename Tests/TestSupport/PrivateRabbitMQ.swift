import AsyncHTTPClient
package import FoundationEssentials
import Glibc
package import MessageBus
import NIOCore
import NIOHTTP1
package import Primitives
package import RabbitMQTransport
import Synchronization

/// A RabbitMQ broker of this test process alone, in a folder that goes with it.
///
///     @Suite(.enabled(if: PrivateRabbitMQ.isInstalled, PrivateRabbitMQ.missing)) struct MyTests {
///         let vhost = try await PrivateRabbitMQ.shared().createVHost()
///         let bus = try RabbitMQConnection(vhost.configuration())
///
/// The shared broker starts with the first test that asks, which takes 6 to 15 s. Tests that stop or freeze a broker
/// take one of their own with ``start()``.
package final class PrivateRabbitMQ: Sendable {
    package struct Failure: Error, CustomStringConvertible {
        package let description: String
        init(_ description: String) { self.description = description }
    }

    /// A virtual host and the user that may do everything in it.
    package struct VHost: Sendable {
        package let broker: PrivateRabbitMQ
        package let name: String
        package let user: String
        package let password: Secret

        package func configuration(
            user: String? = nil, password: Secret? = nil, heartbeat: Duration = .seconds(5),
            name: String = "test"
        ) -> RabbitMQConfiguration {
            RabbitMQConfiguration(
                host: "127.0.0.1", port: broker.port, vhost: self.name, user: user ?? self.user,
                password: .fixed(password ?? self.password), heartbeat: heartbeat, connectionName: name)
        }

        /// The same over TLS, with a certificate of the client's own.
        package func secureConfiguration(heartbeat: Duration = .seconds(5)) throws -> RabbitMQConfiguration {
            let authority = try TestAuthority.shared()
            var configuration = configuration(heartbeat: heartbeat)
            configuration.port = broker.securePort
            configuration.transportSecurity = .verified(
                authority: authority.path, certificate: try authority.file("client-\(name)"))
            return configuration
        }

        /// Adds a user with the same password.
        package func addUser(_ name: String, _ permissions: CellPermissions) async throws {
            let hash = BrokerAdministration.PasswordHash(password, salt: 0x0102_0304)
            let user = BrokerAdministration.User(name: name, password: hash, permissions: permissions)
            for request in BrokerAdministration.add(user, vhost: self.name) { try await broker.send(request) }
        }
    }

    package static let isInstalled =
        access("/usr/lib/rabbitmq/bin/rabbitmq-server", X_OK) == 0 && access("/usr/bin/epmd", X_OK) == 0
    package static let missing: String = "rabbitmq-server is not installed"

    private static let instance = Result { try PrivateRabbitMQ() }

    /// The broker of this process, once it answers.
    package static func shared() async throws -> PrivateRabbitMQ {
        let broker = try await BlockingWork.run { instance }.get()
        try await broker.waitUntilReady()
        return broker
    }

    /// Another broker, for tests that disturb it.
    package static func start() async throws -> PrivateRabbitMQ {
        guard isInstalled else { throw Failure(missing) }
        let broker = try await BlockingWork.run { Result { try PrivateRabbitMQ() } }.get()
        try await broker.waitUntilReady()
        return broker
    }

    /// How long a broker may take to start or end.
    private static let patience = Duration.seconds(120)
    private static let administrator = "administrator"

    package let port: Int
    /// Where it speaks TLS, with those who show a certificate of the ``TestAuthority``.
    package let securePort: Int
    package let folder: String
    package var managementURL: String { "http://127.0.0.1:\(managementPort)" }
    private let managementPort: Int
    private let administratorPassword: Secret
    private let environment: [String]
    private let brokerGuard: BrokerGuard
    private let nextVHost = Atomic<Int>(1)

    private init() throws {
        guard let ports = PortBlock() else { throw Failure("no free ports") }
        var template = Array("/tmp/private-rabbitmq-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw Failure("no temporary folder: errno \(errno)") }
        let folder = String(cString: made)
        self.folder = folder
        port = ports.first
        managementPort = ports.first + 1
        securePort = ports.first + 4
        let authority = try TestAuthority.shared()
        let certificate = "\(folder)/server.pem"
        try Data(
            try authority.certificate("broker", addresses: TestAuthority.serverAddresses).reveal().utf8
        ).write(to: URL(filePath: certificate))
        administratorPassword = Secret(SystemIDSource().uuid().uuidString)
        let settings = """
            loopback_users = none
            default_user = \(Self.administrator)
            default_pass = \(administratorPassword.reveal())
            listeners.ssl.default = 127.0.0.1:\(securePort)
            ssl_options.cacertfile = \(authority.path)
            ssl_options.certfile = \(certificate)
            ssl_options.keyfile = \(certificate)
            ssl_options.verify = verify_peer
            ssl_options.fail_if_no_peer_cert = true
            ssl_options.versions.1 = tlsv1.3
            ssl_options.versions.2 = tlsv1.2
            management.tcp.ip = 127.0.0.1
            management.tcp.port = \(managementPort)
            management_agent.disable_metrics_collector = true
            vm_memory_high_watermark.absolute = 1GB
            disk_free_limit.absolute = 50MB

            """
        try Data(settings.utf8).write(to: URL(filePath: "\(folder)/rabbitmq.conf"))
        try Data("[rabbitmq_management].\n".utf8).write(to: URL(filePath: "\(folder)/enabled_plugins"))
        environment = [
            "HOME=\(folder)",
            "RABBITMQ_NODENAME=test\(ports.first)@localhost",
            "RABBITMQ_MNESIA_BASE=\(folder)/mnesia",
            "RABBITMQ_LOG_BASE=\(folder)/log",
            "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1",
            "RABBITMQ_NODE_PORT=\(port)",
            "RABBITMQ_DIST_PORT=\(ports.first + 3)",
            "ERL_EPMD_PORT=\(ports.first + 2)",
            "ERL_EPMD_ADDRESS=127.0.0.1",
            "RABBITMQ_ENABLED_PLUGINS_FILE=\(folder)/enabled_plugins",
            "RABBITMQ_CONFIG_FILE=\(folder)/rabbitmq",
            "RABBITMQ_PID_FILE=\(folder)/pid",
            "RABBITMQ_CONF_ENV_FILE=/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none",
        ]
        brokerGuard = try BrokerGuard(folder: folder, epmdPort: ports.first + 2, environment: environment)
        brokerGuard.startBroker()
    }

    /// A new virtual host with a user of its own.
    package func createVHost() async throws -> VHost {
        let number = nextVHost.add(1, ordering: .relaxed).oldValue
        let vhost = VHost(
            broker: self, name: "vhost-\(number)", user: "user-\(number)",
            password: Secret("password of vhost \(number)"))
        try await send(BrokerAdministration.createVHost(vhost.name))
        try await vhost.addUser(vhost.user, .controlPlane)
        return vhost
    }

    // MARK: - Faults

    /// Stops the broker's process (SIGSTOP) and returns when all its threads stand still.
    package func freeze() async throws {
        let process = try processID()
        guard kill(process, SIGSTOP) == 0 else { throw Failure("kill: errno \(errno)") }
        try await wait("the broker's threads to stand still") { Self.isStopped(process) }
    }

    /// Lets it go on.
    package func thaw() throws {
        guard kill(try processID(), SIGCONT) == 0 else { throw Failure("kill: errno \(errno)") }
    }

    private static func isStopped(_ process: pid_t) -> Bool {
        let folder = "/proc/\(process)/task"
        guard let stream = opendir(folder) else { return false }
        defer { closedir(stream) }
        while let entry = readdir(stream) {
            let thread = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard !thread.hasPrefix(".") else { continue }
            guard let file = fopen("\(folder)/\(thread)/stat", "r") else { continue }
            defer { fclose(file) }
            var line = [UInt8](repeating: 0, count: 256)
            let count = fread(&line, 1, line.count, file)
            // The state follows the name, which is in parentheses and may hold anything.
            let state = String(decoding: line.prefix(count), as: UTF8.self).split(separator: ")").last
            guard state?.hasPrefix(" T") ?? false else { return false }
        }
        return true
    }

    /// Ends the broker with a signal (SIGTERM in good order, SIGKILL not) and waits until its process is gone.
    package func stop(with signal: Int32) async throws {
        let process = try processID()
        guard kill(process, signal) == 0 else { throw Failure("kill: errno \(errno)") }
        // The process id's file goes early; the port stays taken until the process has ended.
        try await wait("the broker's end") { kill(process, 0) != 0 }
        unlink("\(folder)/pid")
    }

    /// Starts it again in the same folder on the same ports.
    package func restart() async throws {
        brokerGuard.startBroker()
        try await waitUntilReady()
    }

    /// Runs `rabbitmqctl`, for what the management API can't do. Takes seconds: it starts an Erlang machine.
    package func control(_ arguments: [String]) async throws {
        let child = try ChildProcess(
            environment + ["/usr/lib/rabbitmq/bin/rabbitmqctl"] + arguments, output: "\(folder)/control.log",
            folder: folder)
        var status: Int32 = 0
        try await wait("rabbitmqctl's end") { waitpid(child.processID, &status, WNOHANG) == child.processID }
        guard status == 0 else { throw Failure("rabbitmqctl \(arguments) ended with status \(status)") }
    }

    private func processID() throws -> pid_t {
        let text = String(decoding: try Data(contentsOf: URL(filePath: "\(folder)/pid")), as: UTF8.self)
        guard let process = pid_t(text.filter(\.isNumber)) else { throw Failure("no process id in \"\(text)\"") }
        return process
    }

    // MARK: - Management

    /// Sends a request to the management API and returns the answer's body.
    @discardableResult
    package func send(_ request: BrokerRequest) async throws -> Data {
        let (status, body) = try await execute(request)
        guard request.expectedStatuses.contains(status) else {
            throw Failure("\(request): \(status) \(String(decoding: body, as: UTF8.self))")
        }
        return body
    }

    private func execute(_ request: BrokerRequest) async throws -> (Int, Data) {
        var message = HTTPClientRequest(url: "http://127.0.0.1:\(managementPort)/api/\(request.path)")
        message.method = .RAW(value: request.method.rawValue)
        message.setBasicAuth(username: Self.administrator, password: administratorPassword.reveal())
        message.headers.add(name: "Content-Type", value: "application/json")
        // A list of many virtual hosts compresses so well that the client takes it for an attack.
        message.headers.add(name: "Accept-Encoding", value: "identity")
        if let data = try request.bodyData() { message.body = .bytes(ByteBuffer(bytes: data)) }
        let response = try await HTTPClient.shared.execute(message, timeout: .seconds(30))
        let body = try await response.body.collect(upTo: 16 * 1024 * 1024)
        return (Int(response.status.code), Data(body.readableBytesView))
    }

    private func waitUntilReady() async throws {
        try await wait("the broker's start") {
            do {
                return try await self.execute(BrokerAdministration.listVHosts()).0 == 200
                    && access("\(self.folder)/pid", R_OK) == 0
            } catch {
                return false
            }
        }
    }

    private func wait(_ what: String, until condition: () async -> Bool) async throws {
        let limit = ContinuousClock.now + Self.patience
        while !(await condition()) {
            guard ContinuousClock.now < limit else {
                let log = (try? String(contentsOf: URL(filePath: "\(folder)/server.log"), encoding: .utf8)) ?? ""
                throw Failure("waited too long for \(what): \(log.suffix(2_000))")
            }
            try await Task.sleep(for: .milliseconds(50))
        }
    }
}

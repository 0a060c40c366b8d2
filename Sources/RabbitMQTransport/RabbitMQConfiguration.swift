package import Primitives

/// Where and as whom a ``RabbitMQConnection`` connects.
package struct RabbitMQConfiguration: Sendable, Equatable {
    package enum TransportSecurity: Sendable, Equatable {
        case disabled
        /// Encrypted; the broker's certificate must be signed by `authority` and name the host. `certificate` holds the
        /// client's own, followed by its key. Both are paths, read for every connection.
        case verified(authority: String, certificate: String?)
    }

    package enum QueueType: String, Sendable {
        /// On one node, for speed.
        case classic
        /// Replicated, for brokers that are a cluster.
        case quorum
    }

    package var host: String
    package var port: Int
    package var vhost: String
    package var user: String
    package var password: PasswordSource
    package var transportSecurity: TransportSecurity
    /// How often both sides show that they live, in whole seconds. After two without a sign the connection is given up.
    package var heartbeat: Duration
    /// Shows in the broker's management.
    package var connectionName: String
    /// Limit of each of: reaching the port, and logging in.
    package var connectTimeout: Duration
    /// How long `declare` may take, waiting for a broker that is away included.
    package var declareTimeout: Duration
    package var backoff: Backoff
    /// What durable queues are declared as. Exclusive queues are always classic.
    package var queueType: QueueType
    /// Whether published messages in durable queues survive a broker's restart. Calls and answers never do.
    package var keepsMessages: Bool

    package init(
        host: String, port: Int = 5672, vhost: String, user: String, password: PasswordSource,
        transportSecurity: TransportSecurity = .disabled, heartbeat: Duration = .seconds(5), connectionName: String,
        connectTimeout: Duration = .seconds(5),
        declareTimeout: Duration = .seconds(30), backoff: Backoff = Backoff(), queueType: QueueType = .classic,
        keepsMessages: Bool = true
    ) {
        precondition(heartbeat >= .seconds(1), "a heartbeat is at least 1 s")
        precondition((1...65_535).contains(port), "a port is 1...65535")
        self.host = host
        self.port = port
        self.vhost = vhost
        self.user = user
        self.password = password
        self.transportSecurity = transportSecurity
        self.heartbeat = heartbeat
        self.connectionName = connectionName
        self.connectTimeout = connectTimeout
        self.declareTimeout = declareTimeout
        self.backoff = backoff
        self.queueType = queueType
        self.keepsMessages = keepsMessages
    }
}

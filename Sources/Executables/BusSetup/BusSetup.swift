package import Logging
package import MessageBus
package import Primitives
package import RabbitMQTransport
package import ServiceKit

/// Opens an executable's connection to a virtual host, watched by its health and told of in its log.
package enum BusSetup {
    /// Connects in the background; returns at once.
    /// - Parameter wallClock: by which deadlines are.
    /// - Throws: ``SettingsError`` for the password file, ``BusError`` when the system has no thread left.
    package static func open(
        _ settings: BusSettings, name: String, part: String = "bus", wallClock: any WallClock, shell: ProcessShell
    ) throws -> RabbitMQConnection {
        let password = try SettingsFile.password(at: settings.passwordFile)
        let configuration = RabbitMQConfiguration(
            host: settings.host, port: settings.port, vhost: settings.vhost, user: settings.user, password: password,
            transportSecurity: security(settings.tls), connectionName: name, keepsMessages: false)
        let connection = try open(configuration, wallClock: wallClock, logger: shell.logger)
        shell.health.watch(part) { connection.isConnected ? .up : .down("not connected to the message broker") }
        return connection
    }

    static func security(_ tls: TLSSettings?) -> RabbitMQConfiguration.TransportSecurity {
        tls.map { .verified(authority: $0.authority, certificate: $0.certificate) } ?? .disabled
    }

    /// The same without health: for connections that come and go, such as a parent's to its children.
    package static func open(
        _ configuration: RabbitMQConfiguration, wallClock: any WallClock, logger: Logger
    ) throws(BusError) -> RabbitMQConnection {
        try RabbitMQConnection(configuration, wallClock: wallClock) { notice in
            let metadata: Logger.Metadata = [
                "bus.vhost": "\(configuration.vhost)", "bus.user": "\(configuration.user)",
            ]
            switch notice {
            case .connected, .unblocked: logger.info("\(notice)", metadata: metadata)
            case .connectFailed, .disconnected, .blocked, .redeclareFailed, .consumerLost, .malformedMessage:
                logger.warning("\(notice)", metadata: metadata)
            }
        }
    }
}

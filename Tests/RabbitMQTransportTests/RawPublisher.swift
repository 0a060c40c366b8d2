import CRabbitMQ
import Primitives
import TestSupport

/// Publishes what the adapter itself would never send, through the C library.
struct RawPublisher {
    struct Failure: Error {}

    private let vhost: PrivateRabbitMQ.VHost

    init(_ vhost: PrivateRabbitMQ.VHost) { self.vhost = vhost }

    /// One message of `bytes` bytes without an envelope.
    func publish(to queue: String, bytes: Int) throws {
        guard let connection = amqp_new_connection() else { throw Failure() }
        defer { amqp_destroy_connection(connection) }
        let socket = amqp_tcp_socket_new(connection)
        guard amqp_socket_open(socket, "127.0.0.1", Int32(vhost.broker.port)) == 0 else { throw Failure() }
        let login = cw_login_plain(
            connection, vhost.name, 0, 131_072, 0, "raw", vhost.user, vhost.password.reveal())
        guard login.reply_type == AMQP_RESPONSE_NORMAL, amqp_channel_open(connection, 1) != nil else {
            throw Failure()
        }
        var body = [UInt8](repeating: 120, count: bytes)
        let status = body.withUnsafeMutableBytes { body in
            queue.withCString { queue in
                amqp_basic_publish(
                    connection, 1, amqp_bytes_t(), amqp_cstring_bytes(queue), 0, 0, nil,
                    amqp_bytes_t(len: body.count, bytes: body.baseAddress))
            }
        }
        guard status == 0 else { throw Failure() }
        _ = amqp_connection_close(connection, AMQP_REPLY_SUCCESS)
    }
}

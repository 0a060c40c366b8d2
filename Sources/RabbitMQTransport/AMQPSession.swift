import CRabbitMQ
import FoundationEssentials
import MessageBus
import Primitives

/// One logged-in connection of the C library. Belongs to the thread that opened it; the library is not thread-safe.
///
/// All methods except the login are sent without waiting for their answers, which come as frames like everything else.
final class AMQPSession {
    /// Largest frame; bodies beyond it are split by the library.
    private static let frameBytes: Int32 = 131_072
    private static let channelLimit: Int32 = 1_024

    let socket: Int32
    private let connection: amqp_connection_state_t
    private let socketGuard: SocketGuard

    /// What a broker says to a wrong password.
    static let accessRefused = 403

    /// A session with the first password that the broker accepts: while one is being replaced there are two, and a third
    /// look finds one that has appeared meanwhile.
    static func open(
        _ configuration: RabbitMQConfiguration, guardedBy socketGuard: SocketGuard
    ) throws(BusError) -> AMQPSession {
        var tried: [Secret] = []
        var refusal = BusError.disconnected("there is no password for \(configuration.user)")
        var waiting = configuration.password.values()
        while tried.count < PasswordSource.limit * 2, !waiting.isEmpty {
            let password = waiting.removeFirst()
            tried.append(password)
            do throws(BusError) {
                return try AMQPSession(configuration, password: password, guardedBy: socketGuard)
            } catch {
                guard case .refused(code: accessRefused, _) = error else { throw error }
                refusal = error
            }
            if waiting.isEmpty { waiting = configuration.password.values(after: tried) }
        }
        throw refusal
    }

    /// Dials and logs in, each within the configuration's limit.
    /// - Throws: ``BusError/refused(code:_:)`` when the broker refuses the login, else ``BusError/disconnected(_:)``.
    private init(
        _ configuration: RabbitMQConfiguration, password: Secret, guardedBy socketGuard: SocketGuard
    ) throws(BusError) {
        let place = "\(configuration.host):\(configuration.port)"
        guard let connection = amqp_new_connection() else { throw .disconnected("no memory for a connection") }
        var limit = timeval(configuration.connectTimeout)
        amqp_set_handshake_timeout(connection, &limit)
        amqp_set_rpc_timeout(connection, &limit)
        do throws(BusError) {
            let transport = try Self.transport(
                configuration.transportSecurity, to: configuration.host, of: connection)
            let status = amqp_socket_open_noblock(
                transport, configuration.host, Int32(configuration.port), &limit)
            guard status == AMQP_STATUS_OK.rawValue else {
                throw .disconnected("can't reach \(place): \(Self.text(ofStatus: status))")
            }
        } catch {
            amqp_destroy_connection(connection)
            throw error
        }
        socketGuard.attach(amqp_get_sockfd(connection))
        let reply = cw_login_plain(
            connection, configuration.vhost, Self.channelLimit, Self.frameBytes,
            Int32(configuration.heartbeat.components.seconds), configuration.connectionName, configuration.user,
            password.reveal())
        guard reply.reply_type == AMQP_RESPONSE_NORMAL else {
            let failure = Self.failure(of: reply, place: place)
            socketGuard.detach()
            amqp_destroy_connection(connection)
            throw failure
        }
        self.connection = connection
        self.socketGuard = socketGuard
        socket = amqp_get_sockfd(connection)
    }

    /// The library's socket, plain or over TLS; goes with the connection.
    private static func transport(
        _ security: RabbitMQConfiguration.TransportSecurity, to host: String, of connection: amqp_connection_state_t
    ) throws(BusError) -> OpaquePointer {
        switch security {
        case .disabled:
            guard let socket = amqp_tcp_socket_new(connection) else { throw .disconnected("no memory for a socket") }
            return socket
        case .verified(let authority, let certificate):
            guard let socket = amqp_ssl_socket_new(connection) else { throw .disconnected("no memory for a socket") }
            amqp_ssl_socket_set_verify_peer(socket, 1)
            amqp_ssl_socket_set_verify_hostname(socket, cw_verify_address(socket, host) == 1 ? 0 : 1)
            guard amqp_ssl_socket_set_ssl_versions(socket, AMQP_TLSv1_2, AMQP_TLSvLATEST) == AMQP_STATUS_OK.rawValue
            else { throw .disconnected("the TLS library has no version 1.2 or later") }
            guard amqp_ssl_socket_set_cacert(socket, authority) == AMQP_STATUS_OK.rawValue else {
                throw .disconnected("can't use the authority's certificates in \(authority)")
            }
            if let certificate {
                guard amqp_ssl_socket_set_key(socket, certificate, certificate) == AMQP_STATUS_OK.rawValue else {
                    throw .disconnected("can't use the certificate and key in \(certificate)")
                }
            }
            return socket
        }
    }

    deinit {
        socketGuard.detach()
        amqp_destroy_connection(connection)
    }

    /// Tells the broker and waits for its answer, at most `limit`.
    func close(within limit: Duration) {
        var time = timeval(limit)
        amqp_set_rpc_timeout(connection, &time)
        // Whatever comes of it, the session is over.
        _ = amqp_connection_close(connection, AMQP_REPLY_SUCCESS)
    }

    // MARK: - Receiving

    /// The next frame that has arrived, `nil` when there is none. Also sends heartbeats when they are due.
    func nextFrame() throws(BusError) -> AMQPFrame? {
        var frame = amqp_frame_t()
        var now = timeval(tv_sec: 0, tv_usec: 0)
        let status = amqp_simple_wait_frame_noblock(connection, &frame, &now)
        if status == AMQP_STATUS_TIMEOUT.rawValue { return nil }
        try check(status)
        defer { amqp_maybe_release_buffers(connection) }
        switch Int32(frame.frame_type) {
        case AMQP_FRAME_METHOD:
            return .method(channel: frame.channel, Self.method(frame.payload.method))
        case AMQP_FRAME_HEADER:
            let properties = frame.payload.properties
            let header = Self.header(
                classID: properties.class_id, bodyBytes: properties.body_size, fields: properties.decoded)
            return .header(channel: frame.channel, header)
        case AMQP_FRAME_BODY:
            let fragment = frame.payload.body_fragment
            guard let start = fragment.bytes else { return .body(channel: frame.channel, Data()) }
            return .body(channel: frame.channel, Data(bytes: start, count: fragment.len))
        default:
            return .other
        }
    }

    // MARK: - Channels and consumers

    func openChannel(_ channel: UInt16) throws(BusError) {
        var method = amqp_channel_open_t()
        try send(AMQP_CHANNEL_OPEN_METHOD, &method, on: channel)
    }

    func closeChannel(_ channel: UInt16) throws(BusError) {
        var method = amqp_channel_close_t()
        method.reply_code = UInt16(AMQP_REPLY_SUCCESS)
        try send(AMQP_CHANNEL_CLOSE_METHOD, &method, on: channel)
    }

    /// Answers the broker's closing of a channel, after which its number may be used again.
    func confirmChannelClose(_ channel: UInt16) throws(BusError) {
        var method = amqp_channel_close_ok_t()
        try send(AMQP_CHANNEL_CLOSE_OK_METHOD, &method, on: channel)
    }

    func confirmConnectionClose() throws(BusError) {
        var method = amqp_connection_close_ok_t()
        try send(AMQP_CONNECTION_CLOSE_OK_METHOD, &method, on: 0)
    }

    func selectConfirms(_ channel: UInt16) throws(BusError) {
        var method = amqp_confirm_select_t()
        try send(AMQP_CONFIRM_SELECT_METHOD, &method, on: channel)
    }

    func setPrefetch(_ count: Int, on channel: UInt16) throws(BusError) {
        var method = amqp_basic_qos_t()
        method.prefetch_count = UInt16(clamping: count)
        try send(AMQP_BASIC_QOS_METHOD, &method, on: channel)
    }

    /// The only consumer of a channel, so its tag may be the same everywhere.
    private static let consumerTag = "cw"

    func consume(queue: String, acknowledges: Bool, on channel: UInt16) throws(BusError) {
        var arena = ByteArena()
        let (queue, tag) = (arena.add(queue), arena.add(Self.consumerTag))
        try check(
            arena.lend { bytes in
                var method = amqp_basic_consume_t()
                method.queue = bytes(queue)
                method.consumer_tag = bytes(tag)
                method.no_ack = acknowledges ? 0 : 1
                return amqp_send_method(connection, channel, AMQP_BASIC_CONSUME_METHOD, &method)
            })
    }

    func cancelConsumer(on channel: UInt16) throws(BusError) {
        var arena = ByteArena()
        let tag = arena.add(Self.consumerTag)
        try check(
            arena.lend { bytes in
                var method = amqp_basic_cancel_t()
                method.consumer_tag = bytes(tag)
                return amqp_send_method(connection, channel, AMQP_BASIC_CANCEL_METHOD, &method)
            })
    }

    func settle(tag: UInt64, _ disposition: Disposition, on channel: UInt16) throws(BusError) {
        switch disposition {
        case .acknowledge: try check(amqp_basic_ack(connection, channel, tag, 0))
        case .retry: try check(amqp_basic_reject(connection, channel, tag, 1))
        case .reject: try check(amqp_basic_reject(connection, channel, tag, 0))
        }
    }

    // MARK: - Declaring

    func declare(_ exchange: BusTopology.Exchange, on channel: UInt16) throws(BusError) {
        var arena = ByteArena()
        let (name, kind) = (arena.add(exchange.name), arena.add(exchange.kind.rawValue))
        try check(
            arena.lend { bytes in
                var method = amqp_exchange_declare_t()
                method.exchange = bytes(name)
                method.type = bytes(kind)
                method.durable = 1
                return amqp_send_method(connection, channel, AMQP_EXCHANGE_DECLARE_METHOD, &method)
            })
    }

    func declare(
        _ queue: BusTopology.Queue, type: RabbitMQConfiguration.QueueType, on channel: UInt16
    ) throws(BusError) {
        var arena = ByteArena()
        let name = arena.add(queue.name)
        let (limitKey, typeKey) = (arena.add("x-max-length"), arena.add("x-queue-type"))
        let typeName = arena.add(queue.life == .durable ? type.rawValue : "classic")
        let isDurable: amqp_boolean_t = queue.life == .durable ? 1 : 0
        try check(
            arena.lend { bytes in
                var limit = amqp_table_entry_t()
                limit.key = bytes(limitKey)
                limit.value.kind = UInt8(AMQP_FIELD_KIND_I64.rawValue)
                limit.value.value.i64 = Int64(queue.lengthLimit)
                var type = amqp_table_entry_t()
                type.key = bytes(typeKey)
                type.value.kind = UInt8(AMQP_FIELD_KIND_UTF8.rawValue)
                type.value.value.bytes = bytes(typeName)
                var entries = [limit, type]
                return entries.withUnsafeMutableBufferPointer { entries in
                    var method = amqp_queue_declare_t()
                    method.queue = bytes(name)
                    method.durable = isDurable
                    method.exclusive = 1 - isDurable
                    method.arguments = amqp_table_t(
                        num_entries: Int32(entries.count), entries: entries.baseAddress)
                    return amqp_send_method(connection, channel, AMQP_QUEUE_DECLARE_METHOD, &method)
                }
            })
    }

    func declare(_ binding: BusTopology.Binding, on channel: UInt16) throws(BusError) {
        var arena = ByteArena()
        let (queue, exchange) = (arena.add(binding.queue), arena.add(binding.exchange))
        let pattern = arena.add(binding.pattern)
        try check(
            arena.lend { bytes in
                var method = amqp_queue_bind_t()
                method.queue = bytes(queue)
                method.exchange = bytes(exchange)
                method.routing_key = bytes(pattern)
                return amqp_send_method(connection, channel, AMQP_QUEUE_BIND_METHOD, &method)
            })
    }

    // MARK: - Publishing

    /// Hands a message to the socket.
    ///
    /// Look at the clock of what was last received before this: with a broker that has been silent for two heartbeats,
    /// version 0.11 of the library waits here without a limit.
    func publish(
        _ message: OutgoingMessage, to address: BusAddress, mandatory: Bool, on channel: UInt16
    ) throws(BusError) {
        var arena = ByteArena()
        let (exchange, key) = (arena.add(address.exchange), arena.add(address.routingKey))
        let (contentType, messageID) = (arena.add("application/json"), arena.add(message.messageID))
        let correlationID = message.correlationID.map { arena.add($0) }
        let replyTo = message.replyTo.map { arena.add($0) }
        let expiration = message.expiration.map { arena.add(String(Int64(max(1, $0 / .milliseconds(1))))) }
        let (headerKey, head) = (arena.add(EnvelopeCodec.header), arena.add(message.envelopeHead))
        let status: Int32 = message.body.withUnsafeBytes { body in
            arena.lend { bytes in
                var header = amqp_table_entry_t()
                header.key = bytes(headerKey)
                header.value.kind = UInt8(AMQP_FIELD_KIND_UTF8.rawValue)
                header.value.value.bytes = bytes(head)
                var properties = amqp_basic_properties_t()
                var flags =
                    AMQP_BASIC_CONTENT_TYPE_FLAG | AMQP_BASIC_HEADERS_FLAG | AMQP_BASIC_DELIVERY_MODE_FLAG
                    | AMQP_BASIC_MESSAGE_ID_FLAG
                properties.content_type = bytes(contentType)
                properties.message_id = bytes(messageID)
                properties.delivery_mode = message.isPersistent ? 2 : 1
                if let correlationID {
                    flags |= AMQP_BASIC_CORRELATION_ID_FLAG
                    properties.correlation_id = bytes(correlationID)
                }
                if let replyTo {
                    flags |= AMQP_BASIC_REPLY_TO_FLAG
                    properties.reply_to = bytes(replyTo)
                }
                if let expiration {
                    flags |= AMQP_BASIC_EXPIRATION_FLAG
                    properties.expiration = bytes(expiration)
                }
                properties._flags = amqp_flags_t(flags)
                return withUnsafeMutablePointer(to: &header) { header in
                    properties.headers = amqp_table_t(num_entries: 1, entries: header)
                    return amqp_basic_publish(
                        connection, channel, bytes(exchange), bytes(key), mandatory ? 1 : 0, 0, &properties,
                        amqp_bytes_t(len: body.count, bytes: UnsafeMutableRawPointer(mutating: body.baseAddress)))
                }
            }
        }
        try check(status)
    }

    // MARK: -

    private func send(_ number: UInt32, _ method: UnsafeMutableRawPointer, on channel: UInt16) throws(BusError) {
        try check(amqp_send_method(connection, channel, number, method))
    }

    private func check(_ status: Int32) throws(BusError) {
        guard status != AMQP_STATUS_OK.rawValue else { return }
        throw .disconnected("the connection to the message broker was lost: \(Self.text(ofStatus: status))")
    }

    private static func text(ofStatus status: Int32) -> String {
        String(cString: amqp_error_string2(status))
    }

    private static func failure(of reply: amqp_rpc_reply_t, place: String) -> BusError {
        if reply.reply_type == AMQP_RESPONSE_SERVER_EXCEPTION, let decoded = reply.reply.decoded,
            reply.reply.id == AMQP_CONNECTION_CLOSE_METHOD
        {
            let close = decoded.assumingMemoryBound(to: amqp_connection_close_t.self).pointee
            return .refused(code: Int(close.reply_code), String(close.reply_text))
        }
        if reply.reply_type == AMQP_RESPONSE_LIBRARY_EXCEPTION {
            return .disconnected("can't log in at \(place): \(text(ofStatus: reply.library_error))")
        }
        return .disconnected("can't log in at \(place)")
    }
}

extension timeval {
    init(_ duration: Duration) {
        let (seconds, attoseconds) = duration.components
        self.init(tv_sec: Int(seconds), tv_usec: Int(attoseconds / 1_000_000_000_000))
    }
}

import CRabbitMQ
import FoundationEssentials

extension AMQPSession {
    static func method(_ method: amqp_method_t) -> AMQPMethod {
        switch method.id {
        case AMQP_CHANNEL_OPEN_OK_METHOD: .channelOpened
        case AMQP_CHANNEL_CLOSE_OK_METHOD: .channelCloseConfirmed
        case AMQP_EXCHANGE_DECLARE_OK_METHOD, AMQP_QUEUE_DECLARE_OK_METHOD, AMQP_QUEUE_BIND_OK_METHOD: .declared
        case AMQP_CONFIRM_SELECT_OK_METHOD: .confirmsSelected
        case AMQP_BASIC_QOS_OK_METHOD: .prefetchSet
        case AMQP_BASIC_CONSUME_OK_METHOD: .consuming
        case AMQP_BASIC_CANCEL_METHOD: .consumerCancelled
        case AMQP_CONNECTION_UNBLOCKED_METHOD: .unblocked
        default: method.decoded.map { withFields(method.id, $0) } ?? .other
        }
    }

    private static func withFields(_ number: UInt32, _ fields: UnsafeMutableRawPointer) -> AMQPMethod {
        switch number {
        case AMQP_CHANNEL_CLOSE_METHOD:
            let close = fields.assumingMemoryBound(to: amqp_channel_close_t.self).pointee
            return .channelClosed(code: Int(close.reply_code), text: String(close.reply_text))
        case AMQP_CONNECTION_CLOSE_METHOD:
            let close = fields.assumingMemoryBound(to: amqp_connection_close_t.self).pointee
            return .connectionClosed(code: Int(close.reply_code), text: String(close.reply_text))
        case AMQP_CONNECTION_BLOCKED_METHOD:
            let blocked = fields.assumingMemoryBound(to: amqp_connection_blocked_t.self).pointee
            return .blocked(reason: String(blocked.reason))
        case AMQP_BASIC_DELIVER_METHOD:
            let deliver = fields.assumingMemoryBound(to: amqp_basic_deliver_t.self).pointee
            return .delivered(
                Delivered(
                    tag: deliver.delivery_tag, isRedelivered: deliver.redelivered != 0,
                    exchange: String(deliver.exchange), routingKey: String(deliver.routing_key)))
        case AMQP_BASIC_RETURN_METHOD:
            let returned = fields.assumingMemoryBound(to: amqp_basic_return_t.self).pointee
            return .returned(
                reason: "\(String(returned.reply_text)), exchange \"\(String(returned.exchange))\", "
                    + "key \"\(String(returned.routing_key))\"")
        case AMQP_BASIC_ACK_METHOD:
            let ack = fields.assumingMemoryBound(to: amqp_basic_ack_t.self).pointee
            return .confirmed(tag: ack.delivery_tag, multiple: ack.multiple != 0, isPositive: true)
        case AMQP_BASIC_NACK_METHOD:
            let nack = fields.assumingMemoryBound(to: amqp_basic_nack_t.self).pointee
            return .confirmed(tag: nack.delivery_tag, multiple: nack.multiple != 0, isPositive: false)
        default:
            return .other
        }
    }

    static func header(classID: UInt16, bodyBytes: UInt64, fields: UnsafeMutableRawPointer?) -> ContentHeader {
        guard let fields, Int32(classID) == AMQP_BASIC_CLASS else {
            return ContentHeader(
                bodyBytes: bodyBytes, correlationID: nil, replyTo: nil, expiration: nil, envelopeHead: nil)
        }
        let properties = fields.assumingMemoryBound(to: amqp_basic_properties_t.self).pointee
        func has(_ flag: Int32) -> Bool { properties._flags & amqp_flags_t(flag) != 0 }
        return ContentHeader(
            bodyBytes: bodyBytes,
            correlationID: has(AMQP_BASIC_CORRELATION_ID_FLAG) ? String(properties.correlation_id) : nil,
            replyTo: has(AMQP_BASIC_REPLY_TO_FLAG) ? String(properties.reply_to) : nil,
            expiration: has(AMQP_BASIC_EXPIRATION_FLAG)
                ? Int64(String(properties.expiration)).map { .milliseconds($0) } : nil,
            envelopeHead: has(AMQP_BASIC_HEADERS_FLAG) ? envelopeHead(in: properties.headers) : nil)
    }

    private static func envelopeHead(in table: amqp_table_t) -> Data? {
        for entry in UnsafeBufferPointer(start: table.entries, count: Int(table.num_entries)) {
            guard String(entry.key) == EnvelopeCodec.header else { continue }
            let kind = Int32(entry.value.kind)
            let isText = kind == AMQP_FIELD_KIND_UTF8.rawValue || kind == AMQP_FIELD_KIND_BYTES.rawValue
            guard isText, let start = entry.value.value.bytes.bytes else { return nil }
            return Data(bytes: start, count: entry.value.value.bytes.len)
        }
        return nil
    }
}

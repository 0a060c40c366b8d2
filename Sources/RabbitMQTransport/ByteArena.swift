import CRabbitMQ

/// Collects the short texts of one method, so that they can be lent to the C library together.
struct ByteArena {
    struct Slice {
        fileprivate let offset: Int
        fileprivate let count: Int
    }

    private var bytes: [UInt8] = []

    mutating func add(_ text: String) -> Slice { add(text.utf8) }

    mutating func add(_ content: some Collection<UInt8>) -> Slice {
        let slice = Slice(offset: bytes.count, count: content.count)
        bytes.append(contentsOf: content)
        return slice
    }

    /// Lends the collected bytes for the time of `body`, which gets a function from slice to C bytes.
    mutating func lend<Value>(_ body: ((Slice) -> amqp_bytes_t) -> Value) -> Value {
        bytes.withUnsafeMutableBytes { buffer in
            body { slice in
                guard slice.count > 0, let base = buffer.baseAddress else { return amqp_bytes_t() }
                return amqp_bytes_t(len: slice.count, bytes: base + slice.offset)
            }
        }
    }
}

extension String {
    init(_ bytes: amqp_bytes_t) {
        self.init(decoding: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.len), as: UTF8.self)
    }
}

import Glibc

/// Finds ports of 127.0.0.1 that nobody uses, for servers that start a moment later.
package struct DevPorts: Sendable {
    package struct Exhausted: Error, Sendable, CustomStringConvertible {
        package let description: String
    }

    /// First port that is not handed out: the kernel's own choice begins here on most machines.
    static let end = 32_000

    private var next: Int

    /// - Parameter first: where the search begins.
    package init(first: Int) { next = first }

    /// The next free port. It never gives one twice.
    package mutating func take() throws(Exhausted) -> Int {
        while next < Self.end {
            defer { next += 1 }
            if Self.isFree(next) { return next }
        }
        throw Exhausted(description: "no free port of 127.0.0.1 is left below \(Self.end)")
    }

    /// Whether a server could listen there now.
    package static func isFree(_ port: Int) -> Bool {
        withSocket { descriptor in
            var reuse: Int32 = 1
            setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
            return withAddress(port) { bind(descriptor, $0, $1) == 0 && listen(descriptor, 1) == 0 }
        }
    }

    /// Whether somebody listens there now.
    package static func answers(_ port: Int) -> Bool {
        withSocket { descriptor in withAddress(port) { connect(descriptor, $0, $1) == 0 } }
    }

    private static func withSocket(_ body: (Int32) -> Bool) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        return body(descriptor)
    }

    private static func withAddress(_ port: Int, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Bool) -> Bool {
        guard let number = UInt16(exactly: port) else { return false }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = number.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                body($0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
}

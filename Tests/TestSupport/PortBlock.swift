import Glibc

/// Five ports next to each other on 127.0.0.1 that no other test process takes: a lock file says whose they are for as
/// long as this process lives. Below the kernel's ephemeral ports, so no outgoing connection takes one either.
struct PortBlock: Sendable {
    static let count = 5
    private static let range = 15_500..<15_600

    let first: Int

    /// The first free block, `nil` when there is none.
    init?() {
        for first in stride(from: Self.range.lowerBound, to: Self.range.upperBound, by: Self.count) {
            let lock = open("/tmp/test-ports-\(first).lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o666)
            guard lock >= 0 else { continue }
            if flock(lock, LOCK_EX | LOCK_NB) == 0, (first..<first + Self.count).allSatisfy(Self.isFree) {
                // The descriptor stays open, and the lock with it, until the process ends.
                self.first = first
                return
            }
            close(lock)
        }
        return nil
    }

    private static func isFree(_ port: Int) -> Bool {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        guard descriptor >= 0 else { return false }
        defer { close(descriptor) }
        var reuse: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        return withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
            }
        }
    }
}

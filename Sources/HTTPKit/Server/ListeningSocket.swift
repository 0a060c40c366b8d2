import Glibc

/// A TCP socket that listens and outlives its process: systemd keeps a copy and gives it back to the next one, so that
/// clients that connect during a restart wait instead of being refused.
///
/// The unit must say `NotifyAccess=main` and `FileDescriptorStoreMax=1`. systemd lets go of the socket when the unit is
/// stopped for good.
struct ListeningSocket {
    /// Connections that wait for being accepted.
    private static let backlog: Int32 = 1024
    private static let name = "api"
    /// Where the first descriptor is that systemd passes.
    private static let firstPassed: Int32 = 3

    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    let descriptor: Int32

    /// The socket that systemd kept, if it listens there, else a new one, which systemd is asked to keep. `nil` when no
    /// systemd keeps sockets for this process, or `host` is no IPv4 address.
    static func open(host: String, port: Int) throws(Failure) -> ListeningSocket? {
        guard getenv("NOTIFY_SOCKET") != nil, var address = ipv4(host, port) else { return nil }
        if let kept = kept() {
            if self.address(of: kept) == [address.sin_addr.s_addr, UInt32(address.sin_port)] {
                return ListeningSocket(descriptor: kept)
            }
            // It listens somewhere else, as an earlier configuration said.
            notify("FDSTOREREMOVE=1\nFDNAME=\(name)", nil)
            close(kept)
        }
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(description: "no socket: errno \(errno)") }
        var yes: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &yes, socklen_t(MemoryLayout<Int32>.size))
        let bound = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard bound == 0, listen(descriptor, backlog) == 0 else {
            let reason = errno
            close(descriptor)
            throw Failure(description: "can't listen on \(host):\(port): errno \(reason)")
        }
        notify("FDSTORE=1\nFDNAME=\(name)", descriptor)
        return ListeningSocket(descriptor: descriptor)
    }

    /// What systemd passed to this very process.
    private static func kept() -> Int32? {
        guard let count = getenv("LISTEN_FDS").flatMap({ Int32(String(cString: $0)) }), count >= 1,
            getenv("LISTEN_PID").flatMap({ Int32(String(cString: $0)) }) == getpid()
        else { return nil }
        _ = fcntl(firstPassed, F_SETFD, FD_CLOEXEC)
        return firstPassed
    }

    private static func ipv4(_ host: String, _ port: Int) -> sockaddr_in? {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = UInt16(clamping: port).bigEndian
        return inet_pton(AF_INET, host, &address.sin_addr) == 1 ? address : nil
    }

    private static func address(of descriptor: Int32) -> [UInt32]? {
        var address = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let result = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        guard result == 0, address.sin_family == sa_family_t(AF_INET) else { return nil }
        return [address.sin_addr.s_addr, UInt32(address.sin_port)]
    }

    /// Tells systemd something, with a descriptor. Should it fail, a restart refuses connections for a moment, as without
    /// it.
    private static func notify(_ message: String, _ descriptor: Int32?) {
        guard let path = getenv("NOTIFY_SOCKET").map({ String(cString: $0) }) else { return }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        // A name that begins with @ is an abstract one, whose first byte is zero.
        let bytes = path.hasPrefix("@") ? [0] + Array(path.utf8.dropFirst()) : Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let length = MemoryLayout<sa_family_t>.size + bytes.count + (path.hasPrefix("@") ? 0 : 1)
        let sender = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard sender >= 0 else { return }
        defer { close(sender) }
        var text = Array(message.utf8)
        var control = descriptor.map(passing) ?? []
        withUnsafeMutablePointer(to: &address) { address in
            text.withUnsafeMutableBytes { text in
                control.withUnsafeMutableBytes { control in
                    var part = iovec(iov_base: text.baseAddress, iov_len: text.count)
                    withUnsafeMutablePointer(to: &part) { part in
                        var message = msghdr()
                        message.msg_name = UnsafeMutableRawPointer(address)
                        message.msg_namelen = socklen_t(length)
                        message.msg_iov = part
                        message.msg_iovlen = 1
                        message.msg_control = control.isEmpty ? nil : control.baseAddress
                        message.msg_controllen = control.count
                        _ = sendmsg(sender, &message, Int32(MSG_NOSIGNAL))
                    }
                }
            }
        }
    }

    /// `struct cmsghdr` (length, level, type) and one descriptor, filled up to eight bytes.
    private static func passing(_ descriptor: Int32) -> [UInt8] {
        var control = [UInt8](repeating: 0, count: 24)
        control.withUnsafeMutableBytes { bytes in
            bytes.storeBytes(of: 20, toByteOffset: 0, as: Int.self)
            bytes.storeBytes(of: SOL_SOCKET, toByteOffset: 8, as: Int32.self)
            bytes.storeBytes(of: Int32(SCM_RIGHTS), toByteOffset: 12, as: Int32.self)
            bytes.storeBytes(of: descriptor, toByteOffset: 16, as: Int32.self)
        }
        return control
    }
}

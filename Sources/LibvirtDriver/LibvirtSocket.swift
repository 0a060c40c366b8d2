import Glibc
import Synchronization

/// The Unix socket below a connection to libvirtd. By it any thread can end a call that the daemon does not answer: the
/// call finds its connection at an end, as if the daemon had gone.
///
/// libvirt's own keep-alives are not used. They interrupt a waiting call from another thread, and libvirt up to 10.3 then
/// leaves an event source behind that points into the stack of a call that is over (CVE-2024-4418); the next call on the
/// connection crashes. For the same reason a connection never carries two calls at once.
final class LibvirtSocket: Sendable {
    private struct Registry {
        /// The inode numbers of sockets that a link has claimed.
        var claimed: Set<ino_t> = []
        /// Who opens a connection now.
        var opener: ObjectIdentifier?
    }

    /// One open at a time, so that a socket that nobody has claimed belongs to the open under way.
    private static let opening = Mutex(())
    private static let registry = Mutex(Registry())

    /// Our own duplicate, so that the number cannot come to mean another file when libvirt closes its own.
    private let descriptor: Int32
    private let inode: ino_t

    private init(_ descriptor: Int32, _ inode: ino_t) {
        self.descriptor = descriptor
        self.inode = inode
    }

    deinit {
        Self.registry.withLock { registry in
            registry.claimed.remove(inode)
            close(descriptor)
        }
    }

    /// Ends the connection for both sides. May be repeated.
    func cut() { shutdown(descriptor, Int32(SHUT_RDWR)) }

    /// Runs what opens a connection, and claims the socket that appeared meanwhile.
    ///
    /// - Parameter opener: who may cut the connection while it is being opened.
    /// - Returns: what the body returned, and `nil` for the socket if there is none of this address.
    static func claim<Value, Failure: Error>(
        _ address: LibvirtAddress, opener: ObjectIdentifier, _ open: () throws(Failure) -> Value
    ) throws(Failure) -> (Value, LibvirtSocket?) {
        try opening.withLock { _ throws(Failure) in
            registry.withLock { $0.opener = opener }
            defer { registry.withLock { $0.opener = nil } }
            let value = try open()
            let socket = registry.withLock { registry -> LibvirtSocket? in
                let found = unclaimed(address, registry)
                for surplus in found.dropFirst() { close(surplus.descriptor) }
                guard let found = found.first else { return nil }
                registry.claimed.insert(found.inode)
                return LibvirtSocket(found.descriptor, found.inode)
            }
            return (value, socket)
        }
    }

    /// Ends the connection that is being opened, if this is its opener.
    static func cutUnclaimed(_ address: LibvirtAddress, opener: ObjectIdentifier) {
        registry.withLock { registry in
            guard registry.opener == opener else { return }
            for socket in unclaimed(address, registry) {
                shutdown(socket.descriptor, Int32(SHUT_RDWR))
                close(socket.descriptor)
            }
        }
    }

    /// Whether a connection of this address is being opened.
    static func hasUnclaimed(_ address: LibvirtAddress) -> Bool {
        let found = registry.withLock { unclaimed(address, $0) }
        for socket in found { close(socket.descriptor) }
        return !found.isEmpty
    }

    private typealias Found = (descriptor: Int32, inode: ino_t)

    /// Duplicates of this process's sockets of this address that have no owner.
    private static func unclaimed(_ address: LibvirtAddress, _ registry: Registry) -> [Found] {
        guard let folder = opendir("/proc/self/fd") else { return [] }
        defer { closedir(folder) }
        var found: [Found] = []
        while let entry = readdir(folder) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            guard let number = Int32(name), number != dirfd(folder), isPeer(number, address) else { continue }
            let copy = fcntl(number, F_DUPFD_CLOEXEC, 0)
            guard copy >= 0 else { continue }
            var attributes = stat()
            // Asked again: the number may have changed hands before it was duplicated.
            let isNew = isPeer(copy, address) && fstat(copy, &attributes) == 0
            let isKnown = found.contains { $0.inode == attributes.st_ino }
            if isNew, !isKnown, !registry.claimed.contains(attributes.st_ino) {
                found.append((copy, attributes.st_ino))
            } else {
                close(copy)
            }
        }
        return found
    }

    private static func isPeer(_ descriptor: Int32, _ address: LibvirtAddress) -> Bool {
        var peer = sockaddr_un()
        var length = socklen_t(MemoryLayout<sockaddr_un>.size)
        let status = withUnsafeMutablePointer(to: &peer) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &length) }
        }
        guard status == 0, peer.sun_family == sa_family_t(AF_UNIX) else { return false }
        let path = withUnsafeBytes(of: peer.sun_path) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
        return path.split(separator: "/").last.map { address.socketNames.contains(String($0)) } ?? false
    }
}

/// Where a hypervisor is, as libvirt writes it, and what that says about the socket.
struct LibvirtAddress: Sendable, Equatable {
    let uri: String
    /// What the daemon's socket may be called; empty for drivers inside this process.
    let socketNames: Set<String>

    init(_ uri: String) {
        self.uri = uri
        if uri.hasPrefix("test:") {
            socketNames = []
            return
        }
        let query = uri.split(separator: "?", maxSplits: 1).dropFirst().first ?? ""
        let path = query.split(separator: "&").first { $0.hasPrefix("socket=") }
        if let name = path?.dropFirst("socket=".count).split(separator: "/").last {
            socketNames = [String(name)]
        } else {
            socketNames = ["libvirt-sock", "virtqemud-sock"]
        }
    }
}

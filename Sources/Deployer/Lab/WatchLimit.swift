import SystemPackage

/// How many inotify instances the kernel lets a user of this machine have. The systemd of each lab host takes some eight of
/// them, and with the kernel's usual 128 the sixteenth host does not start.
struct WatchLimit: Codable, Sendable, Equatable {
    static let path = "/proc/sys/fs/inotify/max_user_instances"
    static let perHost = 10
    /// For everything else that runs on the machine as root.
    static let others = 64

    /// The machine's own limit, and what it was raised to.
    var found: Int
    var raised: Int

    /// Raises the limit when so many hosts need more.
    /// - Returns: what was done; nil when the limit is enough.
    static func raise(forHosts hosts: Int, path: String = path) throws -> WatchLimit? {
        let needed = hosts * perHost + others
        guard let found = Int(try FileSystem.text(path).trimmed), found < needed else { return nil }
        try write(needed, path)
        return WatchLimit(found: found, raised: needed)
    }

    /// Gives the machine its own limit back, unless somebody has changed it since.
    func restore(path: String = path) throws {
        guard Int(try FileSystem.text(path).trimmed) == raised else { return }
        try Self.write(found, path)
    }

    /// Together with an earlier raise, whose limit was the machine's own.
    func after(_ earlier: WatchLimit?) -> WatchLimit { WatchLimit(found: earlier?.found ?? found, raised: raised) }

    private static func write(_ limit: Int, _ path: String) throws {
        do {
            // The kernel's files are written in place.
            let file = try FileDescriptor.open(FilePath(path), .writeOnly, options: .truncate)
            try file.closeAfter { _ = try file.writeAll("\(limit)\n".utf8) }
        } catch {
            throw LabFailure("\(path) must be \(limit) for so many hosts, and it can't be set: \(error)")
        }
    }
}

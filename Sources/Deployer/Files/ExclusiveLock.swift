package import FoundationEssentials
import Glibc
import SystemPackage

/// One holder at a time for a folder of state. The kernel releases it when the holder dies, so it is never stale.
package struct ExclusiveLock: ~Copyable, Sendable {
    /// What a holder writes down about itself for those it keeps out.
    package struct Holder: Codable, Sendable, Equatable, CustomStringConvertible {
        package var process: Int32
        package var command: String
        package var user: String
        package var machine: String
        package var since: Date

        package var description: String {
            "`\(command)` (process \(process) of \(user) on \(machine), since \(since.ISO8601Format()))"
        }
    }

    package struct Held: Error, Sendable, Equatable, CustomStringConvertible {
        package let path: String
        package let holder: Holder?

        package var description: String {
            "another run is at work here: \(holder.map(\.description) ?? "its name is not known"). "
                + "Wait for it to end or end it; the lock \(path) goes with it"
        }
    }

    private let file: FileDescriptor

    /// A child that inherits it holds the lock too, until it ends, even when this process is killed.
    var descriptor: Int32 { file.rawValue }

    /// Takes the lock `path` or throws ``Held`` at once, naming the holder.
    package init(path: String, command: String, now: Date) throws {
        file = try Self.take(path: path, command: command, now: now)
    }

    deinit {
        // The lock itself goes with the descriptor; closing can only fail for one that is already closed.
        _ = flock(file.rawValue, LOCK_UN)
        Glibc.close(file.rawValue)
    }

    private static func take(path: String, command: String, now: Date) throws -> FileDescriptor {
        let file = try FileDescriptor.open(
            FilePath(path), .readWrite, options: [.create, .closeOnExec], permissions: .ownerReadWrite)
        do {
            guard flock(file.rawValue, LOCK_EX | LOCK_NB) == 0 else { throw Held(path: path, holder: holder(path)) }
            let holder = Holder(
                process: getpid(), command: command, user: userName(), machine: machineName(), since: now)
            let data = try JSONEncoder().encode(holder)
            try file.resize(to: 0)
            try data.withUnsafeBytes { _ = try file.writeAll(toAbsoluteOffset: 0, $0) }
            return file
        } catch {
            try file.close()
            throw error
        }
    }

    private static func holder(_ path: String) -> Holder? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        do { return try JSONDecoder().decode(Holder.self, from: data) } catch { return nil }
    }

    private static func userName() -> String {
        guard let entry = getpwuid(getuid()), let name = entry.pointee.pw_name else { return "\(getuid())" }
        return String(cString: name)
    }

    private static func machineName() -> String {
        var buffer = [CChar](repeating: 0, count: 256)
        guard gethostname(&buffer, buffer.count - 1) == 0 else { return "?" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

import FoundationEssentials
import Glibc
package import SystemPackage

/// The few file operations that the tool needs and that neither library gives with the right meaning.
package enum FileSystem {
    /// Renames over whatever is at `to`, at once.
    package static func rename(_ from: String, to: String) throws {
        guard Glibc.rename(from, to) == 0 else { throw FileFailure("rename", to, Errno(rawValue: errno)) }
    }

    /// Makes a folder with its parents; an existing one is left as it is, but `mode` is set on the last.
    package static func makeFolder(_ path: String, mode: FilePermissions = .ownerReadWriteExecute) throws {
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        guard chmod(path, mode.rawValue) == 0 else { throw FileFailure("chmod", path, Errno(rawValue: errno)) }
    }

    package static func exists(_ path: String) -> Bool { FileManager.default.fileExists(atPath: path) }

    /// Removes a file or a tree; what is not there is no error.
    package static func remove(_ path: String) throws {
        guard exists(path) || isSymbolicLink(path) else { return }
        try FileManager.default.removeItem(atPath: path)
    }

    package static func text(_ path: String) throws -> String {
        guard let data = FileManager.default.contents(atPath: path) else {
            throw FileFailure("read", path, exists(path) ? .permissionDenied : .noSuchFileOrDirectory)
        }
        return String(decoding: data, as: UTF8.self)
    }

    /// A folder that holds anything stays.
    static func removeIfEmpty(_ folder: String) { rmdir(folder) }

    static func parent(of path: String) -> String? {
        path.lastIndex(of: "/").map { String(path[..<$0]) }
    }

    /// `path` if absolute, else inside `folder`.
    package static func resolve(_ path: String, in folder: String) -> String {
        path.hasPrefix("/") ? path : folder + "/" + path
    }

    /// In bytes.
    static func size(_ path: String) throws -> Int { Int(try status(path).st_size) }

    /// Text that changes whenever the file is written or replaced: inode, size and time of change.
    static func identity(_ path: String) throws -> String {
        let status = try status(path)
        return "\(status.st_dev):\(status.st_ino):\(status.st_size):\(status.st_mtim.tv_sec).\(status.st_mtim.tv_nsec)"
    }

    private static func status(_ path: String) throws -> stat {
        var result = stat()
        guard stat(path, &result) == 0 else { throw FileFailure("look at", path, Errno(rawValue: errno)) }
        return result
    }

    static func isSymbolicLink(_ path: String) -> Bool {
        var status = stat()
        return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFLNK
    }
}

extension FileDescriptor {
    func setMode(_ mode: FilePermissions) throws {
        guard fchmod(rawValue, mode.rawValue) == 0 else { throw Errno(rawValue: errno) }
    }

    /// Returns once what was written is on the disk.
    func synchronize() throws {
        guard fsync(rawValue) == 0 else { throw Errno(rawValue: errno) }
    }
}

package struct FileFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let operation: String
    package let path: String
    package let code: Errno

    package init(_ operation: String, _ path: String, _ code: Errno) {
        self.operation = operation
        self.path = path
        self.code = code
    }

    package var description: String { "cannot \(operation) \(path): \(code)" }
}

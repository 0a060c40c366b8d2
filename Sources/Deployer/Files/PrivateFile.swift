package import FoundationEssentials
package import SystemPackage

/// Small files of the tool's own, written so that a crash leaves the old content or the new, never a part.
package enum PrivateFile {
    /// Replaces the file's content; the new file has `mode` from its first byte on. Its folder must exist.
    package static func write(_ data: Data, to path: String, mode: FilePermissions = .ownerReadWrite) throws {
        let temporary = path + ".new"
        do {
            let file = try FileDescriptor.open(
                FilePath(temporary), .writeOnly, options: [.create, .truncate, .closeOnExec], permissions: mode)
            try file.closeAfter {
                try file.setMode(mode)
                try data.withUnsafeBytes { _ = try file.writeAll($0) }
                try file.synchronize()
            }
        } catch let code as Errno {
            throw FileFailure("write", path, code)
        }
        try FileSystem.rename(temporary, to: path)
    }

    package static func write(_ text: String, to path: String, mode: FilePermissions = .ownerReadWrite) throws {
        try write(Data(text.utf8), to: path, mode: mode)
    }

    /// Writes the file unless it already holds exactly this. Returns whether it wrote.
    @discardableResult
    package static func update(_ text: String, at path: String, mode: FilePermissions = .ownerReadWrite) throws -> Bool
    {
        if FileManager.default.contents(atPath: path) == Data(text.utf8) { return false }
        try write(text, to: path, mode: mode)
        return true
    }
}

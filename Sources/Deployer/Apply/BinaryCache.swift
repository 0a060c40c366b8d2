import FoundationEssentials
import SystemPackage

/// Our executables as they are shipped: stripped, compressed, each kept under the digest of what it was made from.
package struct BinaryCache: Sendable {
    static let commandLimit = Duration.seconds(120)

    package struct Binary: Sendable, Equatable {
        /// Of the stripped executable, which is what a host has.
        package var digest: String
        /// Path of the compressed file.
        package var compressed: String
        /// Of the stripped executable.
        package var bytes: Int
    }

    private struct Note: Codable {
        var digest: String
        var bytes: Int
    }

    private let folder: String
    /// Where the executables were built or installed: beside the running tool.
    private let source: String

    package init(folder: String, source: String) {
        self.folder = folder
        self.source = source
    }

    /// The executable `name`, stripped and compressed now unless that was done before.
    package func binary(_ name: String) async throws -> Binary {
        let original = "\(source)/\(name)"
        guard FileSystem.exists(original) else {
            throw LabFailure("\(name) is not in \(source), where `cellwright` itself is: build it first")
        }
        let key = try fingerprint(original)
        let note = "\(folder)/\(name)-\(key).json"
        let compressed = "\(folder)/\(name)-\(key).gz"
        if let data = FileManager.default.contents(atPath: note), FileSystem.exists(compressed) {
            let known = try JSONDecoder().decode(Note.self, from: data)
            return Binary(digest: known.digest, compressed: compressed, bytes: known.bytes)
        }
        try FileSystem.makeFolder(folder)
        try removeOlder(name)
        let stripped = "\(folder)/\(name).stripped"
        try await LocalCommand("strip", ["-o", stripped, original], timeout: Self.commandLimit).check()
        let digest = try Digest.ofFile(stripped)
        let bytes = try FileSystem.size(stripped)
        try await LocalCommand("gzip", ["-1", "-f", "-n", stripped], timeout: Self.commandLimit).check()
        try FileSystem.rename("\(stripped).gz", to: compressed)
        try PrivateFile.write(try JSONEncoder().encode(Note(digest: digest, bytes: bytes)), to: note)
        return Binary(digest: digest, compressed: compressed, bytes: bytes)
    }

    /// Changes whenever the file does: its size, time and inode, so that a second run need not read it.
    private func fingerprint(_ path: String) throws -> String {
        String(Digest.of(try FileSystem.identity(path)).prefix(16))
    }

    private func removeOlder(_ name: String) throws {
        for entry in try FileManager.default.contentsOfDirectory(atPath: folder)
        where entry.hasPrefix("\(name)-") && entry.dropFirst(name.count + 1).prefix(16).allSatisfy(\.isHexDigit) {
            try FileSystem.remove("\(folder)/\(entry)")
        }
    }
}

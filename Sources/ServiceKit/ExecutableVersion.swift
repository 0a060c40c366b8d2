import Crypto
import Glibc

/// Which build a process runs: the release, and which executable of it.
package enum ExecutableVersion {
    /// Hexadecimal digits of the executable's SHA-256 that are shown.
    package static let digits = 12
    static let release = "0.1.0"
    private static let chunk = 1 << 20

    /// `0.1.0+3fa9c1d2e4b5`, of the executable with this digest.
    package static func text(digest: String) -> String { "\(release)+\(digest.prefix(digits))" }

    /// Of the file that this process was started from, whatever lies in its place by now. Without digits when it can't be
    /// read, which Linux never refuses.
    package static func current() -> String {
        sha256(ofFile: "/proc/self/exe").map(text) ?? release
    }

    static func sha256(ofFile path: String) -> String? {
        let file = open(path, O_RDONLY | O_CLOEXEC)
        guard file >= 0 else { return nil }
        defer { close(file) }
        var hash = SHA256()
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: chunk, alignment: 16)
        defer { buffer.deallocate() }
        while true {
            let count = read(file, buffer.baseAddress, chunk)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { return nil }
            if count == 0 { break }
            hash.update(bufferPointer: UnsafeRawBufferPointer(rebasing: buffer[..<count]))
        }
        return hash.finalize().map { byte in
            let text = String(byte, radix: 16)
            return text.count == 1 ? "0\(text)" : text
        }.joined()
    }
}

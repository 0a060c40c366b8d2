import Crypto
package import FoundationEssentials
import SystemPackage

/// SHA-256 in lower-case hexadecimal, as `sha256sum` prints it.
package enum Digest {
    private static let chunkBytes = 1 << 20

    package static func of(_ data: Data) -> String { hex(SHA256.hash(data: data)) }

    package static func of(_ text: String) -> String { of(Data(text.utf8)) }

    /// Of a file, read a piece at a time.
    package static func ofFile(_ path: String) throws -> String { hex(try hash(path, SHA256())) }

    /// SHA-512 of a file, as the image API gives it.
    package static func sha512OfFile(_ path: String) throws -> String { hex(try hash(path, SHA512())) }

    private static func hash<Function: HashFunction>(_ path: String, _ start: Function) throws -> Function.Digest {
        var function = start
        do {
            let file = try FileDescriptor.open(FilePath(path), .readOnly)
            try file.closeAfter {
                var buffer = [UInt8](repeating: 0, count: chunkBytes)
                while true {
                    let count = try buffer.withUnsafeMutableBytes { try file.read(into: $0) }
                    if count == 0 { return }
                    buffer.withUnsafeBytes { function.update(bufferPointer: .init(rebasing: $0[..<count])) }
                }
            }
        } catch let code as Errno {
            throw FileFailure("read", path, code)
        }
        return function.finalize()
    }

    static func hex(_ bytes: some Sequence<UInt8>) -> String {
        let digits = Array("0123456789abcdef".utf8)
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }
}

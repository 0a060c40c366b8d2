import Crypto
import FoundationEssentials

/// SHA-256 in lower-case hexadecimal: how files and inputs are compared.
package enum ContentDigest {
    package static func of(_ text: String) -> String { hex(SHA256.hash(data: Data(text.utf8))) }

    /// One digest of several named digests or texts, whatever order they come in.
    package static func of(_ parts: [String: String]) -> String {
        var hash = SHA256()
        for (name, value) in parts.sorted(by: { $0.key < $1.key }) {
            hash.update(data: Data("\(name.utf8.count):\(name)=\(value.utf8.count):\(value);".utf8))
        }
        return hex(hash.finalize())
    }

    private static func hex(_ digest: SHA256.Digest) -> String {
        var text: [UInt8] = []
        text.reserveCapacity(2 * SHA256.byteCount)
        for byte in digest {
            text.append(digit(byte >> 4))
            text.append(digit(byte & 15))
        }
        return String(decoding: text, as: UTF8.self)
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}

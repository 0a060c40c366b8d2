import Crypto

/// SHA-256 in lower-case hexadecimal: how files and inputs are compared.
package enum ContentDigest {
    package static func of(_ text: String) -> String {
        var hash = SHA256()
        hash.update(text)
        return hex(hash.finalize())
    }

    /// One digest of several named digests or texts, whatever order they come in.
    package static func of(_ parts: [String: String]) -> String {
        var hash = SHA256()
        for (name, value) in parts.sorted(by: { $0.key < $1.key }) {
            hash.update("\(head(name))\(value.utf8.count)\(middle)")
            hash.update(value)
            hash.update(tail)
        }
        return hex(hash.finalize())
    }

    // How a part is written: its name's length, name, "=", the value's length, ":", value, ";".
    static func head(_ name: String) -> String { "\(name.utf8.count):\(name)=" }
    static let middle = ":"
    static let tail = ";"

    static func hex(_ digest: SHA256.Digest) -> String {
        digest.withUnsafeBytes { bytes in
            String(unsafeUninitializedCapacity: 2 * SHA256.byteCount) { text in
                for (position, byte) in bytes.enumerated() {
                    text[2 * position] = digit(byte >> 4)
                    text[2 * position + 1] = digit(byte & 15)
                }
                return 2 * bytes.count
            }
        }
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "a") + value - 10
    }
}

extension SHA256 {
    mutating func update(_ text: String) {
        var text = text
        text.withUTF8 { update(bufferPointer: UnsafeRawBufferPointer($0)) }
    }
}

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
            hash.update(head(name, value.utf8.count))
            hash.update(value)
            hash.update(tail)
        }
        return hex(hash.finalize())
    }

    /// The digest of what ``TextTemplate/text(_:)`` gives.
    static func of(_ template: TextTemplate, _ values: [String]) -> String {
        var hash = SHA256()
        for piece in template.pieces { hash.update(piece.text(values)) }
        return hex(hash.finalize())
    }

    /// The digest of what these parts are with `values` in their slots.
    /// - Parameter parts: sorted by name.
    static func of(_ parts: [(name: String, value: TextTemplate)], _ values: [String]) -> String {
        var hash = SHA256()
        for (name, value) in parts {
            let count = value.pieces.reduce(0) { $0 + $1.text(values).utf8.count }
            hash.update(head(name, count))
            for piece in value.pieces { hash.update(piece.text(values)) }
            hash.update(tail)
        }
        return hex(hash.finalize())
    }

    private static func head(_ name: String, _ count: Int) -> String { "\(name.utf8.count):\(name)=\(count):" }
    private static let tail = ";"

    private static func hex(_ digest: SHA256.Digest) -> String {
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
    fileprivate mutating func update(_ text: String) {
        var text = text
        text.withUTF8 { update(bufferPointer: UnsafeRawBufferPointer($0)) }
    }
}

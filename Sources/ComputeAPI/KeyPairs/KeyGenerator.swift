import Crypto
import FoundationEssentials

/// Makes key pairs for users who send none. A port because it draws from the system's randomness.
package protocol KeyGenerator: Sendable {
    /// - Parameter comment: ends the public key's line.
    func generate(comment: String) -> GeneratedKey
}

package struct GeneratedKey: Sendable {
    /// One-line OpenSSH text.
    package let publicText: String
    /// OpenSSH's own private key format; given to its user once and kept nowhere.
    package let privateText: String

    package init(publicText: String, privateText: String) {
        self.publicText = publicText
        self.privateText = privateText
    }
}

/// Ed25519 keys in the files that ssh-keygen writes (unencrypted `openssh-key-v1`).
package struct Ed25519KeyGenerator: KeyGenerator {
    private static let type = "ssh-ed25519"
    /// Private sections are padded to this many bytes.
    private static let blockBytes = 8
    private static let lineLength = 70

    package init() {}

    package func generate(comment: String) -> GeneratedKey {
        let key = Curve25519.Signing.PrivateKey()
        let publicBytes = Array(key.publicKey.rawRepresentation)
        let blob = Self.field(Array(Self.type.utf8)) + Self.field(publicBytes)
        // Two equal numbers show a reader that decryption went well; unencrypted files may have any.
        let check = Array(publicBytes.prefix(4))
        var section = check + check + blob
        section += Self.field(Array(key.rawRepresentation) + publicBytes) + Self.field(Array(comment.utf8))
        var pad: UInt8 = 1
        while section.count % Self.blockBytes != 0 {
            section.append(pad)
            pad += 1
        }
        var file = Array("openssh-key-v1\0".utf8)
        file += Self.field(Array("none".utf8)) + Self.field(Array("none".utf8)) + Self.field([])
        file += Self.number(1) + Self.field(blob) + Self.field(section)
        return GeneratedKey(
            publicText: "\(Self.type) \(Data(blob).base64EncodedString()) \(comment)", privateText: Self.armor(file))
    }

    private static func number(_ value: Int) -> [UInt8] {
        [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> $0) }
    }

    private static func field(_ bytes: [UInt8]) -> [UInt8] { number(bytes.count) + bytes }

    private static func armor(_ file: [UInt8]) -> String {
        let text = Array(Data(file).base64EncodedString().utf8)
        var lines = ["-----BEGIN OPENSSH PRIVATE KEY-----"]
        for start in stride(from: 0, to: text.count, by: lineLength) {
            lines.append(String(decoding: text[start..<min(start + lineLength, text.count)], as: UTF8.self))
        }
        return (lines + ["-----END OPENSSH PRIVATE KEY-----", ""]).joined(separator: "\n")
    }
}

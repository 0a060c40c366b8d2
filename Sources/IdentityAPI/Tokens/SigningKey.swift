import Crypto
import FoundationEssentials
package import Primitives

/// The secret that all replicas of the API share, from which every kind of signature has its own key.
package struct SigningKey: Sendable {
    package struct TooShort: Error, CustomStringConvertible {
        package var description: String { "the token key has fewer than \(SigningKey.minimumBytes) bytes" }
    }

    package static let minimumBytes = 32

    enum Purpose: String {
        case token = "cellwright token 1"
        case imageTicket = "cellwright image ticket 1"
    }

    private let master: SymmetricKey

    /// - Throws: ``TooShort``.
    package init(_ secret: Secret) throws(TooShort) {
        let bytes = Array(secret.reveal().utf8)
        guard bytes.count >= Self.minimumBytes else { throw TooShort() }
        master = SymmetricKey(data: bytes)
    }

    /// A key that says nothing about the others.
    func key(for purpose: Purpose) -> SymmetricKey {
        HKDF<SHA256>.deriveKey(inputKeyMaterial: master, info: Array(purpose.rawValue.utf8), outputByteCount: 32)
    }
}

/// Bytes that can stand in a header or a URL (RFC 4648 §5, without padding).
enum Base64URL {
    static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text = Data(bytes).base64EncodedString()
        while text.hasSuffix("=") { text.removeLast() }
        return String(text.map { $0 == "+" ? "-" : $0 == "/" ? "_" : $0 })
    }

    /// nil for anything but one encoding of some bytes.
    static func decode(_ text: String) -> [UInt8]? {
        guard text.utf8.allSatisfy({ isWord($0) }) else { return nil }
        var padded = String(text.map { $0 == "-" ? "+" : $0 == "_" ? "/" : $0 })
        padded += String(repeating: "=", count: (4 - padded.utf8.count % 4) % 4)
        guard let data = Data(base64Encoded: padded) else { return nil }
        let bytes = Array(data)
        return encode(bytes) == text ? bytes : nil
    }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

/// Random bytes from the system's generator, as keys need them.
enum SecureBytes {
    static func make(_ count: Int) -> [UInt8] {
        SymmetricKey(size: SymmetricKeySize(bitCount: count * 8)).withUnsafeBytes { Array($0) }
    }
}

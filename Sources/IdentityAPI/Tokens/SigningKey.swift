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

/// Bytes that can stand in a header or a URL (RFC 4648 §5, without padding). Every request decodes a token, so this works
/// on bytes and not on characters.
enum Base64URL {
    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var output: [UInt8] = []
        var bits: UInt32 = 0
        var count = 0
        for byte in bytes {
            bits = bits << 8 | UInt32(byte)
            count += 8
            while count >= 6 {
                count -= 6
                output.append(alphabet[Int(bits >> UInt32(count) & 63)])
            }
        }
        if count > 0 { output.append(alphabet[Int(bits << UInt32(6 - count) & 63)]) }
        return String(decoding: output, as: UTF8.self)
    }

    /// nil for anything but the one encoding of some bytes.
    static func decode(_ text: String) -> [UInt8]? {
        var output: [UInt8] = []
        output.reserveCapacity(text.utf8.count * 3 / 4)
        var bits: UInt32 = 0
        var count = 0
        for byte in text.utf8 {
            guard let value = value(byte) else { return nil }
            bits = bits << 6 | value
            count += 6
            guard count >= 8 else { continue }
            count -= 8
            output.append(UInt8(truncatingIfNeeded: bits >> UInt32(count)))
        }
        // What is left over must be less than a character's worth, and zero: otherwise two texts would be one token.
        guard count < 6, bits & (1 << UInt32(count) - 1) == 0 else { return nil }
        return output
    }

    private static func value(_ byte: UInt8) -> UInt32? {
        switch byte {
        case UInt8(ascii: "A")...UInt8(ascii: "Z"): UInt32(byte - UInt8(ascii: "A"))
        case UInt8(ascii: "a")...UInt8(ascii: "z"): UInt32(byte - UInt8(ascii: "a")) + 26
        case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt32(byte - UInt8(ascii: "0")) + 52
        case UInt8(ascii: "-"): 62
        case UInt8(ascii: "_"): 63
        default: nil
        }
    }
}

/// Random bytes from the system's generator, as keys need them.
enum SecureBytes {
    static func make(_ count: Int) -> [UInt8] {
        SymmetricKey(size: SymmetricKeySize(bitCount: count * 8)).withUnsafeBytes { Array($0) }
    }
}

import Crypto
import FoundationEssentials
import HTTPKit

/// An OpenSSH public key, read from its one-line text.
struct OpenSSHKey {
    private static let types = [
        "ssh-rsa", "ssh-dss", "ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521",
        "sk-ecdsa-sha2-nistp256@openssh.com", "sk-ssh-ed25519@openssh.com",
    ]

    /// The key as it travels in SSH's protocol.
    let blob: [UInt8]

    /// Nil when the text is no `type base64 comment` or the two disagree about the type.
    init?(_ text: String) {
        let words = text.split(whereSeparator: \.isWhitespace)
        guard words.count >= 2, !text.dropLast(text.last?.isNewline == true ? 1 : 0).contains(where: \.isNewline),
            Self.types.contains(String(words[0])), let data = Data(base64Encoded: String(words[1]))
        else { return nil }
        blob = Array(data)
        let type = Array(words[0].utf8)
        guard blob.count > type.count + 8,
            blob.prefix(4).reduce(0, { $0 << 8 | Int($1) }) == type.count,
            blob[4..<(4 + type.count)].elementsEqual(type)
        else { return nil }
    }

    /// Colon-separated MD5 of the key.
    var fingerprint: String { Fingerprint.text(Insecure.MD5.hash(data: blob)) }
}

enum Fingerprint {
    static func text(_ digest: some Sequence<UInt8>) -> String {
        digest.map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined(separator: ":")
    }

    /// Colon-separated SHA-1 of the first certificate in PEM text; nil when there is none.
    static func certificate(_ pem: String) -> String? {
        let lines = pem.split(whereSeparator: \.isNewline).map(String.init)
        guard let first = lines.firstIndex(of: "-----BEGIN CERTIFICATE-----"),
            let last = lines[first...].firstIndex(of: "-----END CERTIFICATE-----"),
            let data = Data(base64Encoded: lines[(first + 1)..<last].joined()), !data.isEmpty
        else { return nil }
        return text(Insecure.SHA1.hash(data: data))
    }
}

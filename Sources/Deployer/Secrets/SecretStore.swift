import Crypto
import FoundationEssentials
package import Primitives
package import Topology

/// The cloud's secrets on the operator's machine: a folder with a file each, mode 0600, made once.
///
/// A secret that is not made here (a password from a file or the environment) is read where it is and not copied.
package struct SecretStore: Sendable {
    /// 256 bits, so that none can be guessed, written with the letters of base64url.
    static let length = 32

    private let folder: String

    /// - Parameter folder: made, with mode 0700, when the first secret is.
    package init(folder: String) { self.folder = folder }

    /// The secret's value, which is made now if there is none.
    package func value(_ name: SecretName) throws -> Secret {
        if let secret = try existing(name) { return secret }
        try FileSystem.makeFolder(folder)
        let secret = Self.generate()
        try PrivateFile.write(secret.reveal() + "\n", to: path(name))
        return secret
    }

    /// The secret's value if it has been made.
    package func existing(_ name: SecretName) throws -> Secret? {
        guard FileSystem.exists(path(name)) else { return nil }
        return Secret(try FileSystem.text(path(name)).trimmed)
    }

    /// Gives it this value from now on.
    package func set(_ name: SecretName, _ secret: Secret) throws {
        try FileSystem.makeFolder(folder)
        try PrivateFile.write(secret.reveal().trimmed + "\n", to: path(name))
    }

    /// Where it is kept.
    package func path(_ name: SecretName) -> String { "\(folder)/\(name)" }

    package func remove(_ name: SecretName) throws { try FileSystem.remove(path(name)) }

    /// A value from where the topology says. Files are relative to `folder`.
    package static func read(
        _ source: Topology.PasswordSource, relativeTo folder: String, environment: [String: String]
    ) throws -> Secret? {
        switch source {
        case .generated: return nil
        case .file(let path):
            let text = try FileSystem.text(FileSystem.resolve(path, in: folder))
            guard let line = text.lines.first, !line.isEmpty else {
                throw SecretFailure("the secret file \(path) is empty")
            }
            return Secret(line)
        case .environment(let name):
            guard let value = environment[name], !value.isEmpty else {
                throw SecretFailure("the environment variable \(name) is to hold a secret and is not set")
            }
            return Secret(value)
        }
    }

    static func generate() -> Secret {
        let key = SymmetricKey(size: .init(bitCount: length * 8))
        let text = key.withUnsafeBytes { Data($0).base64EncodedString() }
        return Secret(
            String(
                text.compactMap { character -> Character? in
                    switch character {
                    case "+": "-"
                    case "/": "_"
                    case "=": nil
                    default: character
                    }
                }))
    }
}

package struct SecretFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

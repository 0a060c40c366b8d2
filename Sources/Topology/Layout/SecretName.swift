package import CloudModel

/// Names a secret of the cloud; its value is made and kept by the tool and never part of a plan.
package struct SecretName: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// Letters, digits, dots and dashes: also the name of its file.
    package let text: String

    private init(_ text: String) { self.text = text }

    /// The secret that has this text already.
    init(named text: String) { self.text = text }

    /// Password of a cell's database role.
    package static func database(_ cell: CellPath) -> SecretName { SecretName("database.\(cell.slug)") }
    /// Password of a broker user.
    package static func broker(user: String) -> SecretName { SecretName("broker.\(user)") }
    /// The key that signs identity tokens.
    package static let tokenKey = SecretName("token-key")
    /// Password of the cloud's administrator `admin`, or of a bootstrap user.
    package static func user(_ name: String) -> SecretName { SecretName("user.\(name)") }
    /// The tool's own administrator password on an embedded broker.
    package static func brokerAdministrator(_ host: HostName) -> SecretName { SecretName("broker-admin.\(host)") }

    /// Certificate and key, in one, of a process or server: `supervisor-north.control-1`, `rabbitmq.control-1`.
    package static func certificate(_ part: String, _ host: HostName) -> SecretName {
        SecretName("tls.\(part).\(host)")
    }
    /// Certificates of the cloud's authority that everybody trusts; not secret.
    package static let authority = SecretName("authority")
    /// The authority's key, which never leaves the operator's machine.
    package static let authorityKey = SecretName("authority-key")
    /// The value that follows this one, while it is replaced.
    package var next: SecretName { SecretName("\(text).next") }

    package var description: String { text }

    package static func < (left: SecretName, right: SecretName) -> Bool { left.text < right.text }
}

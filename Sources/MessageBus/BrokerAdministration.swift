import Crypto
import FoundationEssentials
package import Primitives

/// Describes what an administrator asks of a broker: virtual hosts, users, permissions. Every request may be repeated.
///
/// The order for a new cell is virtual host, users, permissions; ``cell(vhost:users:)`` gives them in that order.
package enum BrokerAdministration {
    /// A password as the broker keeps it, so that the password itself need not travel.
    package struct PasswordHash: Sendable, Equatable, CustomStringConvertible, CustomReflectable {
        let text: String

        /// RabbitMQ's `rabbit_password_hashing_sha256`: base64(salt + SHA-256(salt + password)).
        /// - Parameter salt: random, another for each password.
        package init(_ password: Secret, salt: UInt32) {
            let salted = withUnsafeBytes(of: salt.bigEndian) { Data($0) }
            let digest = SHA256.hash(data: salted + Data(password.reveal().utf8))
            text = (salted + Data(digest)).base64EncodedString()
        }

        package var description: String { "<redacted>" }
        package var customMirror: Mirror { Mirror(self, children: [:]) }
    }

    /// A user of one virtual host with what it may do there.
    package struct User: Sendable, Equatable {
        package let name: String
        package let password: PasswordHash
        package let permissions: CellPermissions

        package init(name: String, password: PasswordHash, permissions: CellPermissions) {
            self.name = name
            self.password = password
            self.permissions = permissions
        }
    }

    package static func listVHosts() -> BrokerRequest { BrokerRequest(.get, ["vhosts"]) }

    /// - Parameter description: shown beside it; it stays as it is where the virtual host exists.
    package static func createVHost(_ name: String, description: String? = nil) -> BrokerRequest {
        BrokerRequest(
            .put, ["vhosts", name], body: .object(description.map { ["description": .string($0)] } ?? [:]))
    }

    /// Deletes a virtual host with everything in it.
    package static func deleteVHost(_ name: String) -> BrokerRequest { BrokerRequest(.delete, ["vhosts", name]) }

    package static func deleteQueue(_ name: String, vhost: String) -> BrokerRequest {
        BrokerRequest(.delete, ["queues", vhost, name])
    }

    /// Creates a user, or gives it another password. Users are the whole broker's, not one virtual host's.
    /// - Parameter tags: `administrator`, `monitoring`, ...; none for the users of cells.
    package static func createUser(_ name: String, password: PasswordHash, tags: [String] = []) -> BrokerRequest {
        BrokerRequest(
            .put, ["users", name],
            body: .object([
                "password_hash": .string(password.text),
                "hashing_algorithm": .string("rabbit_password_hashing_sha256"),
                "tags": .string(tags.joined(separator: ",")),
            ]))
    }

    package static func deleteUser(_ name: String) -> BrokerRequest { BrokerRequest(.delete, ["users", name]) }

    /// What a user may configure, write and read in a virtual host, and under which keys on its topic exchanges.
    ///
    /// The user's topic permissions there are cleared first, so that none stays from an earlier role.
    package static func grant(_ permissions: CellPermissions, to user: String, vhost: String) -> [BrokerRequest] {
        let clear = BrokerRequest(.delete, ["topic-permissions", vhost, user])
        let topics = permissions.topics.map { topic in
            BrokerRequest(
                .put, ["topic-permissions", vhost, user],
                body: .object([
                    "exchange": .string(topic.exchange), "write": .string(topic.write), "read": .string(topic.read),
                ]))
        }
        let general = BrokerRequest(
            .put, ["permissions", vhost, user],
            body: .object([
                "configure": .string(permissions.configure), "write": .string(permissions.write),
                "read": .string(permissions.read),
            ]))
        // Topic permissions narrow what `write` opens, so they come first: never a moment with too much.
        return [clear] + topics + [general]
    }

    package static func revoke(from user: String, vhost: String) -> [BrokerRequest] {
        [
            BrokerRequest(.delete, ["permissions", vhost, user]),
            BrokerRequest(.delete, ["topic-permissions", vhost, user]),
        ]
    }

    /// Everything for a cell's virtual host and those who use it.
    package static func cell(vhost: String, users: [User]) -> [BrokerRequest] {
        [createVHost(vhost)] + users.flatMap { add($0, vhost: vhost) }
    }

    /// Adds one user, a host's for instance, to a virtual host that exists.
    package static func add(_ user: User, vhost: String) -> [BrokerRequest] {
        [createUser(user.name, password: user.password)] + grant(user.permissions, to: user.name, vhost: vhost)
    }
}

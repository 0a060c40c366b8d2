import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Topology

/// Reads what ``BrokerScript/facts()`` prints.
struct BrokerProbe {
    enum Failure: Error, Equatable { case down, refused, incomplete }

    /// A queue of a virtual host of ours.
    struct Queue: Hashable {
        let vhost: String
        let name: String
    }

    private struct VHost: Decodable { let name: String }

    private struct User: Decodable {
        let name: String
        let hash: String
        let tags: Tags

        enum CodingKeys: String, CodingKey {
            case name, tags
            case hash = "password_hash"
        }
    }

    /// A list in newer brokers, text with commas in older ones.
    private struct Tags: Decodable {
        let names: [String]

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let list = try? container.decode([String].self) {
                names = list
            } else {
                names = try container.decode(String.self).split(separator: ",").map(String.init)
            }
        }
    }

    private struct Permission: Decodable {
        let user, vhost, configure, write, read: String
    }

    private struct TopicPermission: Decodable {
        let user, vhost, exchange, write, read: String
    }

    private struct QueueRow: Decodable { let name, vhost: String }

    private(set) var observations: [Resource.ID: ObservedFacts.Observation] = [:]
    private(set) var queues: Set<Queue> = []

    /// - Parameters:
    ///   - host: the broker's, `nil` for one of somebody else's.
    ///   - passwords: of the users that the topology wants.
    ///   - administrator: the tool's own account, which is let in, or this would not have been printed.
    init(
        output: String, host: HostName?, passwords: [String: Secret], administrator: String
    ) throws {
        var lists: [String: Data] = [:]
        for line in output.lines {
            if line == "down" { throw Failure.down }
            if line == "refused" { throw Failure.refused }
            let parts = line.split(separator: "\t", maxSplits: 1)
            if parts.count == 2 { lists[String(parts[0])] = Data(parts[1].utf8) }
        }
        guard BrokerScript.jsonLabels.allSatisfy({ lists[$0] != nil }) else { throw Failure.incomplete }
        func list<Row: Decodable>(_ name: String, _: Row.Type = Row.self) throws -> [Row] {
            try JSONDecoder().decode([Row].self, from: lists[name] ?? Data("[]".utf8))
        }
        for vhost: VHost in try list("vhosts") where vhost.name.hasPrefix(BrokerScript.prefix) {
            observations[.init(.brokerVhost, host: host, name: vhost.name)] = .present([:])
        }
        let permissions: [Permission] = try list("permissions")
        let topics: [TopicPermission] = try list("topic-permissions")
        // A user is ours when it may do something in a virtual host of ours, or when the topology wants it.
        let ours = Set(permissions.filter { $0.vhost.hasPrefix(BrokerScript.prefix) }.map(\.user))
            .union(passwords.keys).subtracting(["guest"])
        for user: User in try list("users") {
            let isAdministrator = user.name == administrator && host != nil
            guard isAdministrator || ours.contains(user.name) else { continue }
            let isCurrent =
                isAdministrator || (passwords[user.name].map { Self.isHash(user.hash, of: $0) } ?? false)
            observations[.init(.brokerUser, host: host, name: user.name)] = .present([
                "password": isCurrent ? "current" : "other", "tags": user.tags.names.joined(separator: ","),
            ])
        }
        for permission in permissions where ours.contains(permission.user) && permission.user != administrator {
            guard permission.vhost.hasPrefix(BrokerScript.prefix) else { continue }
            let own = topics.filter { $0.user == permission.user && $0.vhost == permission.vhost }
                .map { "\($0.exchange) \($0.write) \($0.read)" }
            observations[.init(.brokerPermissions, host: host, name: permission.user)] = .present([
                "configure": permission.configure, "write": permission.write, "read": permission.read,
                "topics": own.sorted().joined(separator: "\n"), "vhost": permission.vhost,
            ])
        }
        for queue: QueueRow in try list("queues") where queue.vhost.hasPrefix(BrokerScript.prefix) {
            queues.insert(Queue(vhost: queue.vhost, name: queue.name))
        }
    }

    /// Whether what ``BrokerScript/facts()`` printed shows that the administrator is let in.
    static func isLetIn(_ result: CommandResult) -> Bool {
        let first = result.standardOutput.lines.first ?? ""
        return result.status == 0 && first.hasPrefix("vhosts\t")
    }

    /// Whether the broker's hash is of this password: made again with the same salt, it is the same.
    static func isHash(_ hash: String, of password: Secret) -> Bool {
        guard let salt = Data(base64Encoded: hash)?.prefix(4), salt.count == 4 else { return false }
        let number = salt.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let request = BrokerAdministration.createUser("x", password: .init(password, salt: number))
        return request.body?["password_hash"]?.string == hash
    }
}

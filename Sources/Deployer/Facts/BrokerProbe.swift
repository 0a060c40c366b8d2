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

    private struct VHost: Decodable {
        let name: String
        /// Brokers before 3.8 have none.
        let description: String?
    }

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

    private let place: HostName
    private let passwords: [String: Secret]
    private let administrator: String
    private let ownership: Ownership?
    /// Virtual hosts of this cloud.
    private var ours: Set<String> = []

    /// - Parameters:
    ///   - place: where the broker is: see ``ResourceSpecification/BrokerServer/place``.
    ///   - passwords: of the users that the topology wants.
    ///   - administrator: who asked, and is let in, or this would not have been printed.
    ///   - ownership: for a broker that others use, too; things of others are left out, and those of them that have a name
    ///     of ours are unknown. Users count to a cloud by their name and the virtual hosts that they may use.
    init(
        output: String, place: HostName, passwords: [String: Secret], administrator: String,
        ownership: Ownership? = nil
    ) throws {
        self.place = place
        self.passwords = passwords
        self.administrator = administrator
        self.ownership = ownership
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
        for vhost: VHost in try list("vhosts") where vhost.name.hasPrefix(BrokerScript.prefix) { add(vhost) }
        let permissions: [Permission] = try list("permissions")
        add(try list("users"), permissions)
        add(permissions, topics: try list("topic-permissions"))
        for queue: QueueRow in try list("queues") where ours.contains(queue.vhost) {
            queues.insert(Queue(vhost: queue.vhost, name: queue.name))
        }
    }

    private mutating func add(_ vhost: VHost) {
        let id = Resource.ID(.brokerVhost, host: place, name: vhost.name)
        let mark = vhost.description ?? ""
        if let ownership, ownership.mark != mark {
            guard ownership.wanted.contains(vhost.name) else { return }
            observations[id] = .unknown(ownership.stranger("virtual host \(vhost.name)", marked: mark))
            return
        }
        ours.insert(vhost.name)
        observations[id] = .present([:])
    }

    /// A user is ours when it may do something in a virtual host of ours, or when the topology wants it.
    private mutating func add(_ users: [User], _ permissions: [Permission]) {
        let places = Dictionary(grouping: permissions, by: \.user).mapValues { Set($0.map(\.vhost)) }
        for user in users {
            let id = Resource.ID(.brokerUser, host: place, name: user.name)
            let vhosts = places[user.name] ?? []
            let isWanted = passwords[user.name] != nil || ownership?.wanted.contains(user.name) == true
            if user.name == administrator {
                if ownership == nil { observations[id] = present(user, isCurrent: true) }
            } else if let ownership {
                // Others may have been permitted to look into our virtual hosts: they are none of ours.
                guard isWanted || BrokerProbe.isName(user.name) && !vhosts.isDisjoint(with: ours) else { continue }
                if let foreign = vhosts.subtracting(ours).min() {
                    guard isWanted else { continue }
                    observations[id] = .unknown(
                        "broker user \(user.name) is there already and may use virtual host \(foreign), which is not of "
                            + "\(ownership.mark)")
                } else {
                    observations[id] = present(user)
                }
            } else if isWanted || !vhosts.isDisjoint(with: ours), user.name != "guest" {
                observations[id] = present(user)
            }
        }
    }

    private func present(_ user: User, isCurrent: Bool = false) -> ObservedFacts.Observation {
        let isCurrent = isCurrent || passwords[user.name].map { Self.isHash(user.hash, of: $0) } ?? false
        return .present([
            "password": isCurrent ? "current" : "other", "tags": user.tags.names.joined(separator: ","),
        ])
    }

    private mutating func add(_ permissions: [Permission], topics: [TopicPermission]) {
        for permission in permissions where ours.contains(permission.vhost) {
            guard case .present = observations[.init(.brokerUser, host: place, name: permission.user)],
                permission.user != administrator
            else { continue }
            let own = topics.filter { $0.user == permission.user && $0.vhost == permission.vhost }
                .map { "\($0.exchange) \($0.write) \($0.read)" }
            observations[.init(.brokerPermissions, host: place, name: permission.user)] = .present([
                "configure": permission.configure, "write": permission.write, "read": permission.read,
                "topics": own.sorted().joined(separator: "\n"), "vhost": permission.vhost,
            ])
        }
    }

    /// Whether users of ours are called so: `supervisor.north`.
    private static func isName(_ user: String) -> Bool {
        let role = user.prefix { $0 != "." }
        return role.count < user.count && ProcessLayout.BrokerUser.Role(rawValue: String(role)) != nil
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

package import CloudModel
package import FoundationEssentials

// The cell protocol: what a parent asks of a child, and what a child answers. A leaf answers from its database, a branch
// from its children. Every message travels as a call on the child's `supervisor` queue; wire types only grow.

/// Names a request of the cell protocol and ties it to its answer.
package protocol CellRequest: Codable, Sendable {
    associatedtype Reply: Codable, Sendable
    /// The envelope's `kind`; the answer's is the same with `.reply` behind it.
    static var kind: String { get }
    /// The envelope's body, and the request that it holds: JSON.
    func body() throws -> Data
    init(body: Data) throws
    /// The answer's body: JSON unless the request says otherwise.
    static func encode(_ reply: Reply) throws -> Data
    static func decode(_ body: Data) throws -> Reply
}

extension CellRequest {
    package func body() throws -> Data { try JSONEncoder().encode(self) }
    package init(body: Data) throws { self = try JSONDecoder().decode(Self.self, from: body) }
    package static func encode(_ reply: Reply) throws -> Data { try JSONEncoder().encode(reply) }
    package static func decode(_ body: Data) throws -> Reply { try JSONDecoder().decode(Reply.self, from: body) }
}

/// Build these servers on the hosts that were claimed for them. Repeating it is harmless: instance id and epoch decide.
package struct BuildRequest: CellRequest {
    package static let kind = "cell.build"
    /// Servers in one request.
    package static let batchLimit = 100

    package struct Reply: Codable, Sendable {
        /// Durable in the child's database.
        package var accepted: [ServerID]
        package var refused: [Refusal]
        package init(accepted: [ServerID], refused: [Refusal]) {
            self.accepted = accepted
            self.refused = refused
        }
    }

    package struct Refusal: Codable, Sendable, Equatable {
        package var id: ServerID
        package var reason: String
        package init(id: ServerID, reason: String) {
            self.id = id
            self.reason = reason
        }
    }

    package var builds: [BuildSpecification]
    package init(builds: [BuildSpecification]) { self.builds = builds }
}

/// One server to build: everything the cell and the host need, nothing to ask back.
package struct BuildSpecification: Codable, Sendable, Equatable {
    /// In state building, with `host`, `epoch`, `interfaces` and `availabilityZone` already chosen.
    package var instance: Instance
    package var requestID: String
    /// OpenSSH public key text, for the config drive.
    package var publicKey: String?
    package var image: ImageTicket?

    package init(instance: Instance, requestID: String, publicKey: String?, image: ImageTicket?) {
        self.instance = instance
        self.requestID = requestID
        self.publicKey = publicKey
        self.image = image
    }
}

/// Leave to fetch one image for a while: signed by the API, good for nothing else, so a seized host reads no other image.
package struct ImageTicket: Codable, Sendable, Equatable {
    package var imageID: ImageID
    /// Sent as the header `X-Image-Ticket`.
    package var token: String
    package var expiresAt: Date
    package init(imageID: ImageID, token: String, expiresAt: Date) {
        self.imageID = imageID
        self.token = token
        self.expiresAt = expiresAt
    }
}

/// Show these servers, rendered for one view: the parent only frames the answers.
package struct GetRequest: CellRequest {
    package static let kind = "cell.get"
    package static let batchLimit = 1000

    package struct Reply: Codable, Sendable {
        package struct Row: Codable, Sendable {
            package var id: ServerID
            package var version: Int64
            /// JSON of the server object, without the `server` wrapper.
            package var rendered: Data
            package init(id: ServerID, version: Int64, rendered: Data) {
                self.id = id
                self.version = version
                self.rendered = rendered
            }
        }
        /// Those that exist, in no order.
        package var rows: [Row]
        /// Those that are, or may be, in cells below that can't be asked now.
        package var unreachable: [ServerID]?
        package init(rows: [Row]) { self.rows = rows }
    }

    /// How many of the servers the asker knows to be in a leaf.
    package struct Share: Codable, Sendable, Equatable {
        package var leaf: CellPath
        package var count: Int
        package init(leaf: CellPath, count: Int) {
            self.leaf = leaf
            self.count = count
        }
    }

    package var ids: [ServerID]
    package var view: ServerViewContext
    /// Where the servers are by the asker's directory, so that a branch need not look: the first of ``ids`` in the first
    /// of these leaves, the next in the second. Nil when it can't tell.
    package var shares: [Share]?

    package init(ids: [ServerID], view: ServerViewContext) {
        self.ids = ids
        self.view = view
    }

    /// - Parameter child: whom it is for; a leaf is not told that its servers are its own.
    package init(_ places: [(id: ServerID, leaf: CellPath)], in child: CellPath, view: ServerViewContext) {
        if places.allSatisfy({ $0.leaf == child }) {
            self.init(ids: places.map(\.id), view: view)
            return
        }
        let byLeaf = Dictionary(grouping: places, by: \.leaf)
        self.init(ids: byLeaf.values.flatMap { $0.map(\.id) }, view: view)
        shares = byLeaf.map { Share(leaf: $0.key, count: $0.value.count) }
    }

    /// The leaf of each server, if ``shares`` tells it of all and all leaves are below `cell`.
    package func leaves(below cell: CellPath) -> [ServerID: CellPath]? {
        guard let shares else { return nil }
        var leaves: [ServerID: CellPath] = [:]
        var rest = ids[...]
        for share in shares {
            guard share.count >= 0, share.count <= rest.count, cell.child(toward: share.leaf) != nil else { return nil }
            for id in rest.prefix(share.count) { leaves[id] = share.leaf }
            rest = rest.dropFirst(share.count)
        }
        return rest.isEmpty ? leaves : nil
    }
}

/// Everything that decides how a server is shown.
package struct ServerViewContext: Codable, Sendable, Hashable {
    package enum Detail: String, Codable, Sendable {
        /// As `GET /servers` lists it.
        case brief
        /// As `GET /servers/detail` lists it.
        case full
        /// As `GET /servers/{id}` shows it.
        case single
        /// As `PUT /servers/{id}` answers: until 2.74 less than `single`.
        case updated
    }
    package var detail: Detail
    /// The minor of microversion 2.N.
    package var microversion: Int
    /// For links, without a slash at the end: `http://host:8774/compute/v2.1`.
    package var computeURL: String
    /// Shows the attributes that only administrators see.
    package var isAdmin: Bool
    /// The group of the one server that is shown, which the root knows; nil for none.
    package var serverGroup: ServerGroupID?

    package init(
        detail: Detail, microversion: Int, computeURL: String, isAdmin: Bool, serverGroup: ServerGroupID? = nil
    ) {
        self.detail = detail
        self.microversion = microversion
        self.computeURL = computeURL
        self.isAdmin = isAdmin
        self.serverGroup = serverGroup
    }
}

/// Change a server as a user asked. Answered when durable: a saga is written, or the document is changed.
package struct ActRequest: CellRequest {
    package static let kind = "cell.act"

    package enum Reply: Codable, Sendable {
        /// Durable. `rendered` is the server after the change when `view` was given.
        case accepted(rendered: Data?)
        /// The state forbids it; `message` completes Nova's sentence.
        case conflict(message: String)
        case notFound
        case badRequest(message: String)
        case locked
    }

    package var id: ServerID
    package var action: ServerAction
    package var view: ServerViewContext?
    /// Metadata items that the server may have at most; nil or negative for any number.
    package var metadataLimit: Int?
    package init(
        id: ServerID, action: ServerAction, view: ServerViewContext? = nil, metadataLimit: Int? = nil
    ) {
        self.id = id
        self.action = action
        self.view = view
        self.metadataLimit = metadataLimit
    }
}

package enum ServerAction: Codable, Sendable, Equatable {
    case start
    case stop
    case reboot(hard: Bool)
    case delete
    case update(ServerChanges)
    /// The whole metadata becomes this.
    case replaceMetadata([String: String])
    /// These keys are set, others stay.
    case mergeMetadata([String: String])
    case removeMetadata(key: String)
    case lock(reason: String?)
    case unlock

    /// As instance actions name it.
    package var name: String {
        switch self {
        case .start: "start"
        case .stop: "stop"
        case .reboot: "reboot"
        case .delete: "delete"
        case .update: "update"
        case .replaceMetadata, .mergeMetadata, .removeMetadata: "metadata"
        case .lock: "lock"
        case .unlock: "unlock"
        }
    }
}

/// What `PUT /servers/{id}` can change. Nil leaves a field alone; the description has two levels because null clears it.
package struct ServerChanges: Codable, Sendable, Equatable {
    package enum Field<Value: Codable & Sendable & Equatable>: Codable, Sendable, Equatable {
        case keep
        case set(Value?)
    }
    package var name: String?
    package var description: Field<String>
    package var accessIPv4: Field<String>
    package var accessIPv6: Field<String>
    package var diskConfig: String?
    package var hostname: String?

    package init(
        name: String? = nil, description: Field<String> = .keep, accessIPv4: Field<String> = .keep,
        accessIPv6: Field<String> = .keep, diskConfig: String? = nil, hostname: String? = nil
    ) {
        self.name = name
        self.description = description
        self.accessIPv4 = accessIPv4
        self.accessIPv6 = accessIPv6
        self.diskConfig = diskConfig
        self.hostname = hostname
    }
}

/// Read the tail of a server's console log. The agent is asked; the call's deadline bounds it.
package struct ConsoleOutputRequest: CellRequest {
    package static let kind = "cell.console-output"
    /// Bytes of log that are ever answered.
    package static let byteLimit = 1024 * 1024

    package enum Reply: Codable, Sendable {
        case output(String)
        case notFound
        case conflict(message: String)
        case unavailable(message: String)
    }
    package var id: ServerID
    /// Lines from the end; nil for all that is kept.
    package var lines: Int?
    package init(id: ServerID, lines: Int?) {
        self.id = id
        self.lines = lines
    }
}

/// Send again what happened after `sequence`: a parent that found a gap or was away.
package struct EventsRequest: CellRequest {
    package static let kind = "cell.events"
    package static let batchLimit = 500

    package struct Reply: Codable, Sendable {
        package var events: [SequencedEvent]
        /// The newest sequence the cell has.
        package var newest: Int64
        package init(events: [SequencedEvent], newest: Int64) {
            self.events = events
            self.newest = newest
        }
    }
    package var after: Int64
    package init(after: Int64) { self.after = after }
}

/// Says that somebody listens: what a parent sends to a cell that did not answer for a while.
package struct PingRequest: CellRequest {
    package static let kind = "cell.ping"
    package struct Reply: Codable, Sendable {
        package init() {}
    }
    package init() {}
}

/// List the cell's servers, deleted ones that it still knows among them, a page by id: with them a parent rebuilds its
/// directory.
package struct InventoryRequest: CellRequest {
    package static let kind = "cell.inventory"
    /// Servers of one page.
    package static let pageLimit = 500

    package struct Reply: Codable, Sendable {
        package var servers: [InstanceSummary]
        /// Every event up to this number is in what is told here.
        package var sequence: Int64
        package var isLast: Bool
        /// The leaf of each of `servers`, where a branch tells; absent from a leaf.
        package var origins: [CellPath]?
        package init(servers: [InstanceSummary], sequence: Int64, isLast: Bool) {
            self.servers = servers
            self.sequence = sequence
            self.isLast = isLast
        }
    }
    /// The last server of the page before; nil for the first page.
    package var after: ServerID?
    package init(after: ServerID?) { self.after = after }
}

/// Sum up the cell's servers: a parent whose directory says otherwise at the same sequence has lost something.
package struct AuditRequest: CellRequest {
    package static let kind = "cell.audit"
    package typealias Reply = DirectoryAudit
    package init() {}
}

/// Servers counted and added up at one point of the cell's events: those that were built and are not deleted.
package struct DirectoryAudit: Codable, Sendable, Equatable {
    /// The digest is taken modulo this, so that it fits everywhere.
    package static let modulus: UInt64 = 1 << 62

    package var sequence: Int64
    package var servers: Int
    /// Of every server the first 32 bits of its id times the length of its `vm_state`, added up.
    package var digest: Int64

    package init(sequence: Int64, servers: Int, digest: Int64) {
        self.sequence = sequence
        self.servers = servers
        self.digest = digest
    }
}

package struct HostsRequest: CellRequest {
    package static let kind = "cell.hosts"
    package struct Reply: Codable, Sendable {
        package var hosts: [HostRecord]
        package init(hosts: [HostRecord]) { self.hosts = hosts }
    }
    package init() {}
}

/// List every cell below, leaves and branches, with how it is; a leaf has none.
package struct CellsRequest: CellRequest {
    package static let kind = "cell.cells"
    package struct Reply: Codable, Sendable {
        package var cells: [CellStanding]
        package init(cells: [CellStanding]) { self.cells = cells }
    }
    package init() {}
}

/// Enable or disable a host for new servers.
package struct SetHostRequest: CellRequest {
    package static let kind = "cell.set-host"
    package enum Reply: Codable, Sendable {
        case changed(HostRecord)
        case notFound
    }
    package var host: HostName
    package var isEnabled: Bool
    package var reason: String?
    package init(host: HostName, isEnabled: Bool, reason: String?) {
        self.host = host
        self.isEnabled = isEnabled
        self.reason = reason
    }
}

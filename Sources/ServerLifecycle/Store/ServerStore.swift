package import CellProtocol
package import CloudModel
package import FoundationEssentials

/// Servers and their sagas.
package protocol ServerStore: Sendable {
    /// Changes servers and sagas in one transaction.
    /// - Returns: what `decide` returned beside its changes, once they are durable.
    func transact<Result: Sendable>(
        _ scope: CellScope, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result

    /// Takes up to `limit` live sagas that no one holds, oldest first, and changes them in the same transaction. Those
    /// that another transaction works on are passed over, and those of a version that is not ``ServerSaga/known``. With
    /// nothing to take, `decide` sees an empty snapshot.
    func claim<Result: Sendable>(
        _ lease: SagaLease, limit: Int, _ decide: @escaping @Sendable (CellSnapshot) -> CellDecision<Result>
    ) async throws(CellStoreError) -> Result

    /// Keeps the leases of those of `sagas` that are still live and still `lease.owner`'s under that epoch, and notes that
    /// the owner lives. The others are someone else's now, or over.
    /// - Returns: those kept, with whether their host is up.
    func renew(_ lease: SagaLease, _ sagas: [SagaID: Int]) async throws(CellStoreError) -> [SagaID: Bool]

    /// Gives all of an owner's leases back at once: when it stops, and when it starts again after a crash.
    func release(owner: String) async throws(CellStoreError)

    /// Those that exist and are not deleted, without locks, in no order.
    func servers(_ ids: [ServerID]) async throws(CellStoreError) -> [LocatedServer]

    /// Servers by id after `id`, deleted ones too, at most `limit`, failed builds left out; with the newest number that
    /// an event had at that moment.
    func inventory(after id: ServerID?, limit: Int) async throws(CellStoreError) -> (
        servers: [Instance], sequence: Int64
    )

    /// All servers summed up, at one moment.
    func audit() async throws(CellStoreError) -> DirectoryAudit

    /// What should be on these hosts, and what else of `ids` the cell knows (deleted, or on another host), to compare
    /// with what is. In no order.
    func placed(on hosts: [HostName], or ids: [ServerID]) async throws(CellStoreError) -> [PlacedServer]

    /// Which of the ports that begin with these digits the cell knows, each with its newest server. It reads every server:
    /// only for what a host can't explain.
    func ports(_ digits: [String]) async throws(CellStoreError) -> [String: PlacedPort]

    /// What a reconciler of the whole cell looks at.
    /// - Parameter date: what changed since then is left to those who are at it.
    func upkeep(before date: Date) async throws(CellStoreError) -> CellUpkeep

    /// The actions of one server, newest first, at most `limit`.
    func actions(of id: ServerID, limit: Int) async throws(CellStoreError) -> [CellActionRecord]

    /// Sagas that `filter` asks for, oldest first. Those whose log can't be read have a ``SagaRecord/logProblem``.
    func sagas(_ filter: SagaFilter) async throws(CellStoreError) -> [SagaRecord]

    /// Those of `ids` that there are, in no order.
    func sagas(_ ids: [SagaID]) async throws(CellStoreError) -> [SagaRecord]

    /// Forgets servers that ended before `date`, with their sagas and actions, at most `limit`: deleted ones, and those
    /// whose build failed, which their parent has built elsewhere or keeps itself since it heard of it. One with a saga
    /// that is live or parked stays.
    /// - Returns: how many went.
    func pruneServers(endedBefore date: Date, limit: Int) async throws(CellStoreError) -> Int
}

/// What a transaction reads and locks. Bound: ``limit`` of each.
package struct CellScope: Sendable, Equatable {
    package static let limit = 1000

    /// Locked, with all their sagas that are live or parked.
    package var servers: [ServerID]
    /// Read in whatever state; their servers are locked too, with all their sagas that are live or parked.
    package var sagas: [SagaID]
    /// Asks which of these actions of `servers` are known already.
    package var idempotencyKeys: [String]
    /// Asks which of these hosts there are. Not locked.
    package var hosts: [HostName]

    package init(
        servers: [ServerID] = [], sagas: [SagaID] = [], idempotencyKeys: [String] = [], hosts: [HostName] = []
    ) {
        self.servers = servers
        self.sagas = sagas
        self.idempotencyKeys = idempotencyKeys
        self.hosts = hosts
    }
}

package struct CellSnapshot: Sendable, Equatable {
    /// Deleted ones too.
    package var servers: [ServerID: StoredServer] = [:]
    package var sagas: [SagaID: SagaRecord] = [:]
    package var knownKeys: Set<String> = []
    package var knownHosts: Set<HostName> = []
    /// Sagas that were claimed and can't be read, such as those of a newer program: they wait for one that can.
    package var unreadable: [UnreadableSaga] = []
    /// Whose lease on a saga that was claimed had run out.
    package var formerOwners: [SagaID: String] = [:]

    package init() {}

    /// The live sagas of a server.
    package func liveSagas(of id: ServerID) -> [SagaRecord] {
        sagas.values.filter { $0.serverID == id && $0.state == .live }.sorted { $0.createdAt < $1.createdAt }
    }
}

package struct UnreadableSaga: Sendable, Equatable {
    package var id: SagaID
    package var reason: String

    package init(id: SagaID, reason: String) {
        self.id = id
        self.reason = reason
    }
}

package struct CellDecision<Result: Sendable>: Sendable {
    package var changes: CellChanges
    package var result: Result
    package init(_ changes: CellChanges, _ result: Result) {
        self.changes = changes
        self.result = result
    }
}

/// What a transaction writes. New sagas and released ones nudge the conductors, events nudge the publisher.
package struct CellChanges: Sendable, Equatable {
    /// New, or instead of the row that was there.
    package var servers: [ServerID: StoredServer] = [:]
    package var newSagas: [SagaRecord] = []
    package var sagas: [SagaID: SagaChange] = [:]
    package var newActions: [CellActionRecord] = []
    package var events: [CellEvent] = []

    package init() {}

    package var isEmpty: Bool {
        servers.isEmpty && newSagas.isEmpty && sagas.isEmpty && newActions.isEmpty && events.isEmpty
    }
}

/// What becomes of a saga that was there.
package struct SagaChange: Sendable, Equatable {
    package enum Ownership: Sendable, Equatable {
        case unchanged
        /// Whoever handled the event goes on with it.
        case taken(SagaLease)
        /// The next conductor that looks takes it.
        case released
    }

    /// Behind the entries that are there.
    package var appended: [LoggedEntry] = []
    /// It was parked and is live again, and so is its action.
    package var isTakenUp = false
    /// Not live any more; ends the saga's action, with this message when it did not succeed.
    package var end: SagaRecord.End?
    package var ownership = Ownership.unchanged

    package init() {}

    /// Says whose `saga` is afterwards, here and in the record.
    mutating func own(_ saga: inout SagaRecord, _ next: Ownership, at now: Date) {
        switch next {
        case .unchanged: return
        case .taken(let lease):
            // Taken twice in one transaction is taken once.
            if case .taken = ownership { break }
            saga.take(lease, at: now)
        case .released: saga.holder = nil
        }
        ownership = next
    }
}

/// A server's row: the document and what its host needs beside it.
package struct StoredServer: Sendable, Equatable {
    package var instance: Instance
    package var build: BuildContext

    package init(instance: Instance, build: BuildContext) {
        self.instance = instance
        self.build = build
    }

    package var isDeleted: Bool { instance.state.vm == .deleted }

    /// It never ran here, and nobody is at it.
    package var isFailedBuild: Bool {
        instance.state.vm == .error && instance.state.task == nil && instance.launchedAt == nil
    }
}

/// What a host needs to build a server, beyond the server itself.
package struct BuildContext: Codable, Sendable, Equatable {
    package var requestID: String
    package var publicKey: String?
    package var image: ImageTicket?

    package init(requestID: String, publicKey: String?, image: ImageTicket?) {
        self.requestID = requestID
        self.publicKey = publicKey
        self.image = image
    }
}

/// A server with how its host is.
package struct LocatedServer: Sendable, Equatable {
    package var instance: Instance
    /// Nil when the host is not known.
    package var host: HostStanding?

    package init(instance: Instance, host: HostStanding?) {
        self.instance = instance
        self.host = host
    }
}

package struct HostStanding: Sendable, Equatable {
    package var hypervisorHostname: String
    package var isUp: Bool
    package var isEnabled: Bool

    package init(hypervisorHostname: String, isUp: Bool, isEnabled: Bool) {
        self.hypervisorHostname = hypervisorHostname
        self.isUp = isUp
        self.isEnabled = isEnabled
    }
}

/// What is left of a server for comparing it with what its host says.
package struct PlacedServer: Sendable, Equatable {
    package var id: ServerID
    package var host: HostName?
    package var state: ServerState
    package var epoch: Int
    package var updatedAt: Date
    /// It never ran here, its parent heard so, and no saga of it is live or parked.
    package var isFailedBuild: Bool

    package init(
        id: ServerID, host: HostName?, state: ServerState, epoch: Int, updatedAt: Date, isFailedBuild: Bool = false
    ) {
        self.id = id
        self.host = host
        self.state = state
        self.epoch = epoch
        self.updatedAt = updatedAt
        self.isFailedBuild = isFailedBuild
    }
}

/// A port with the server that it is, or was, of.
package struct PlacedPort: Sendable, Equatable {
    package var port: PortID
    package var server: PlacedServer

    package init(port: PortID, server: PlacedServer) {
        self.port = port
        self.server = server
    }
}

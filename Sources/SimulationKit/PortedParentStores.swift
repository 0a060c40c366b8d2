import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import PlacementCore
import ServerLifecycle

/// A parent's store as one process reaches it.
protocol PortedParentStore: PortedStore, ParentStore where Base: ParentStore {}

extension PortedParentStore {
    func changes() -> Base.Changes { base.changes() }
    func cells() async throws -> [CellMapping] { try await port.callUntyped { try await base.cells() } }
    func putCell(_ path: CellPath, bus: CellMapping.Endpoint, now: Date) async throws -> Bool {
        try await port.callUntyped { try await base.putCell(path, bus: bus, now: now) }
    }
    func removeCell(_ path: CellPath) async throws -> Bool {
        try await port.callUntyped { try await base.removeCell(path) }
    }
    func setHealth(_ standings: [CellStanding], watcher: String?) async throws {
        try await port.callUntyped { try await base.setHealth(standings, watcher: watcher) }
    }
    func takeWatch(owner: String, for duration: Duration) async throws -> Bool {
        try await port.callUntyped { try await base.takeWatch(owner: owner, for: duration) }
    }
    func releaseWatch(owner: String) async throws {
        try await port.callUntyped { try await base.releaseWatch(owner: owner) }
    }
    func requestResync(of path: CellPath) async throws -> Bool {
        try await port.callUntyped { try await base.requestResync(of: path) }
    }
    func noteLoss(of path: CellPath, now: Date) async throws {
        try await port.callUntyped { try await base.noteLoss(of: path, now: now) }
    }
    func knownLoss(of path: CellPath) async throws -> Int64? {
        try await port.callUntyped { try await base.knownLoss(of: path) }
    }
    func merge(_ page: InventoryRequest.Reply, from path: CellPath) async throws -> Bool {
        try await port.callUntyped { try await base.merge(page, from: path) }
    }
    func endResync(of path: CellPath, loss: Int64?) async throws {
        try await port.callUntyped { try await base.endResync(of: path, loss: loss) }
    }
    func audit(of path: CellPath) async throws -> DirectoryAudit {
        try await port.callUntyped { try await base.audit(of: path) }
    }
    func missing(
        of path: CellPath, besides known: Set<ServerID>, createdBefore date: Date
    ) async throws -> [ServerID] {
        try await port.callUntyped { try await base.missing(of: path, besides: known, createdBefore: date) }
    }
    func apply(_ events: [SequencedEvent], from cell: CellPath, now: Date) async throws -> AppliedEvents {
        try await port.callUntyped { try await base.apply(events, from: cell, now: now) }
    }
}

/// The root's store as one process reaches it.
struct PortedRootStore: PortedParentStore, RootStore {
    let base: InMemoryRootStore
    let port: DatabasePort

    func restoreUnplaced() async throws -> Int { try await port.callUntyped { try await base.restoreUnplaced() } }
    func reconcile() async throws -> Reconciliation { try await port.callUntyped { try await base.reconcile() } }
    func place(
        limit: Int, now: Date, plan: @Sendable ([PendingBuild], PlacementSnapshot) -> [[HostName]]
    ) async throws -> Placements {
        try await port.callUntyped { try await base.place(limit: limit, now: now, plan: plan) }
    }
    func unacknowledged(before: Date, now: Date, retryAt: Date, limit: Int) async throws -> [PlacedBuild] {
        try await port.callUntyped {
            try await base.unacknowledged(before: before, now: now, retryAt: retryAt, limit: limit)
        }
    }
    func acknowledge(_ builds: [PlacedBuild]) async throws {
        try await port.callUntyped { try await base.acknowledge(builds) }
    }
    func refuse(_ build: PlacedBuild, reason: String, now: Date) async throws {
        try await port.callUntyped { try await base.refuse(build, reason: reason, now: now) }
    }
    func giveBack(_ build: PlacedBuild, reason: String, now: Date) async throws {
        try await port.callUntyped { try await base.giveBack(build, reason: reason, now: now) }
    }
    func dueCommands(cells: [CellPath], now: Date, retryAt: Date, limit: Int) async throws -> [QueuedCommand] {
        try await port.callUntyped {
            try await base.dueCommands(cells: cells, now: now, retryAt: retryAt, limit: limit)
        }
    }
    func complete(_ command: QueuedCommand) async throws {
        try await port.callUntyped { try await base.complete(command) }
    }
    func completeUnknown(_ command: QueuedCommand, now: Date) async throws {
        try await port.callUntyped { try await base.completeUnknown(command, now: now) }
    }
}

/// A branch's store as one process reaches it.
struct PortedBranchStore: PortedParentStore, PortedChildStore, BranchStore {
    let base: InMemoryBranchStore
    let port: DatabasePort

    func note(_ servers: [ServerID], in leaf: CellPath) async throws {
        try await port.callUntyped { try await base.note(servers, in: leaf) }
    }
    func places(of servers: [ServerID]) async throws -> BranchPlaces {
        try await port.callUntyped { try await base.places(of: servers) }
    }
    func leaves(of hosts: [HostName]) async throws -> [HostName: CellPath] {
        try await port.callUntyped { try await base.leaves(of: hosts) }
    }
    func hosts() async throws -> [HostRecord] { try await port.callUntyped { try await base.hosts() } }
    func standings() async throws -> [CellStanding] { try await port.callUntyped { try await base.standings() } }
    func inventory(after id: ServerID?, limit: Int) async throws -> InventoryRequest.Reply {
        try await port.callUntyped { try await base.inventory(after: id, limit: limit) }
    }
    func audit() async throws -> DirectoryAudit { try await port.callUntyped { try await base.audit() } }
    func pruneServers(deletedBefore date: Date, limit: Int) async throws -> Int {
        try await port.callUntyped { try await base.pruneServers(deletedBefore: date, limit: limit) }
    }
}

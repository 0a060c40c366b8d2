package import CellProtocol
package import CloudModel
package import FoundationEssentials

/// A branch cell's database: a parent's directory of what lies below, and a child's outbox. What changes the one is in the
/// other in the same transaction. Adapter: `PostgresBranchStore`.
package protocol BranchStore: ParentStore, ChildStore {
    /// Notes in which leaf a child has taken servers, before anything is heard of them.
    func note(_ servers: [ServerID], in leaf: CellPath) async throws

    /// In which leaves servers are.
    func places(of servers: [ServerID]) async throws -> BranchPlaces

    /// In which leaves hosts are; those that are not known are left out.
    func leaves(of hosts: [HostName]) async throws -> [HostName: CellPath]

    /// Every host below, by name.
    func hosts() async throws -> [HostRecord]

    /// Every cell below, by path.
    func standings() async throws -> [CellStanding]

    /// Servers by id after `id`, deleted ones too, at most `limit`, failed builds left out; with the newest number that
    /// an event had at that moment.
    /// - Throws: ``IncompleteDirectory`` while rows are known to be missing.
    func inventory(after id: ServerID?, limit: Int) async throws -> InventoryRequest.Reply

    /// All servers below summed up, at one moment.
    /// - Throws: ``IncompleteDirectory`` while rows are known to be missing.
    func audit() async throws -> DirectoryAudit

    /// Forgets servers that were deleted before `date`, at most `limit`.
    /// - Returns: how many went.
    func pruneServers(deletedBefore date: Date, limit: Int) async throws -> Int
}

package struct BranchPlaces: Sendable, Equatable {
    package var leaves: [ServerID: CellPath]
    /// A server that is not named may be below all the same: rows are known to be missing.
    package var isIncomplete: Bool

    package init(leaves: [ServerID: CellPath], isIncomplete: Bool) {
        self.leaves = leaves
        self.isIncomplete = isIncomplete
    }
}

/// A branch that has lost rows of its directory tells nothing of all servers until it has them again.
package struct IncompleteDirectory: Error, Sendable, Equatable, CustomStringConvertible {
    package let cells: [CellPath]
    package init(cells: [CellPath]) { self.cells = cells }
    package var description: String {
        "the directory is being read again from \(cells.map(\.description).joined(separator: ", "))"
    }
}

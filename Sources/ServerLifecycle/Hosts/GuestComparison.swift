package import CellProtocol
package import CloudModel
package import FoundationEssentials
import Primitives

/// Compares what a host says it runs with what it should run. Pure; the reconciler of power states and leftovers.
package struct GuestComparison: Sendable, Equatable {
    /// A server that its host does not know is believed gone after this long without a change: what was just built
    /// or started may be missing in a list that was made a moment earlier.
    static let missingAge: TimeInterval = 60
    /// A guest that should be gone is removed after this long: before, its saga may still be at it.
    static let leftoverAge: TimeInterval = 120

    /// Servers whose power is not what the cell thinks.
    package private(set) var differences: [GuestReport] = []
    /// Guests that must go: of deleted servers, and of servers that live on another host. Guests that the cell has
    /// never heard of stay: a database that was restored from a backup must not cost anyone a server.
    package private(set) var leftovers: [AgentCommand] = []
    package private(set) var unknown = 0

    package init(host: HostName, guests: [GuestReport], sentAt: Date, placed: [PlacedServer]) {
        let servers = Dictionary(placed.map { ($0.id, $0) }) { first, _ in first }
        for guest in guests {
            guard let server = servers[guest.id] else {
                unknown += 1
                continue
            }
            if server.host == host, server.state.vm != .deleted {
                if server.state.task == nil, server.state.power != guest.power { differences.append(guest) }
            } else if server.updatedAt.addingTimeInterval(Self.leftoverAge) < sentAt {
                leftovers.append(Self.removal(of: server, at: sentAt))
            }
        }
        let present = Set(guests.map(\.id))
        for server in placed
        where server.host == host && server.state.vm == .active && server.state.task == nil
            && !present.contains(server.id) && server.updatedAt.addingTimeInterval(Self.missingAge) < sentAt
        {
            differences.append(GuestReport(id: server.id, power: .shutdown))
        }
    }

    /// Each attempt has a key of its own, because the agent answers a known key from memory.
    private static func removal(of server: PlacedServer, at date: Date) -> AgentCommand {
        let key = StepKey(saga: SagaID(server.id.uuid), step: "leftover", generation: Int(date.timeIntervalSince1970))
        return AgentCommand(key: key, instanceID: server.id, epoch: server.epoch, work: .destroy)
    }
}

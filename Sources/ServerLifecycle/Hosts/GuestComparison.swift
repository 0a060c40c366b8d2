package import CellProtocol
package import CloudModel
package import FoundationEssentials
import Primitives

/// Compares what a host says it runs with what it should run. Pure; the reconciler of power states.
package struct GuestComparison: Sendable, Equatable {
    /// A server that its host does not know is believed gone after this long without a change: what was just built
    /// or started may be missing in a list that was made a moment earlier.
    static let missingAge: TimeInterval = 60
    /// Servers whose power is not what the cell thinks.
    package private(set) var differences: [GuestReport] = []
    package init(host: HostName, guests: [GuestReport], sentAt: Date, placed: [PlacedServer]) {
        let servers = Dictionary(placed.map { ($0.id, $0) }) { first, _ in first }
        for guest in guests {
            guard let server = servers[guest.id], server.host == host, server.state.task == nil,
                server.state.power != guest.power, server.state.vm != .deleted
            else { continue }
            differences.append(guest)
        }
        let present = Set(guests.map(\.id))
        for server in placed
        where server.host == host && server.state.vm == .active && server.state.task == nil
            && !present.contains(server.id) && server.updatedAt.addingTimeInterval(Self.missingAge) < sentAt
        {
            differences.append(GuestReport(id: server.id, power: .shutdown))
        }
    }
}

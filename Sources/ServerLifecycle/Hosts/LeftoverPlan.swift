package import CellProtocol
package import CloudModel
package import FoundationEssentials
import Primitives

/// Decides what of the things that a host has is ours and dead. Pure.
///
/// Dead is only what the cell knows to be: of a server that was deleted, or that lives on another host, or whose build
/// failed and is over. What the cell has never heard of stays: a database that was restored from a backup must not cost
/// anyone a server.
package struct LeftoverPlan: Sendable, Equatable {
    /// What should be gone is removed after this long: before, its saga may still be at it.
    static let age: TimeInterval = 120

    /// For the host.
    package private(set) var removals: [AgentCommand] = []
    package private(set) var unknownServers: [ServerID] = []
    package private(set) var unknownPorts: [String] = []

    /// - Parameters:
    ///   - servers: that the host has something of.
    ///   - placed: what the cell knows of them.
    package init(host: HostName, servers: [ServerID], sentAt: Date, placed: [PlacedServer]) {
        let known = Dictionary(placed.map { ($0.id, $0) }) { first, _ in first }
        for id in servers {
            guard let server = known[id] else {
                unknownServers.append(id)
                continue
            }
            if Self.isDead(server, on: host, at: sentAt) { removals.append(Self.destroy(server, at: sentAt)) }
        }
    }

    /// - Parameters:
    ///   - ports: that the host has a device or an address of, by their first digits.
    ///   - owners: what the cell knows of them: each port with its server.
    package mutating func add(
        ports: [String], on host: HostName, sentAt: Date, owners: [String: PlacedPort]
    ) {
        for digits in ports {
            guard let owner = owners[digits] else {
                unknownPorts.append(digits)
                continue
            }
            guard Self.isDead(owner.server, on: host, at: sentAt) else { continue }
            removals.append(
                Self.command(.release(ports: [owner.port]), owner.server, step: "port-\(digits)", at: sentAt))
        }
    }

    static func isDead(_ server: PlacedServer, on host: HostName, at date: Date) -> Bool {
        let isElsewhere = server.host != host || server.state.vm == .deleted || server.isFailedBuild
        return isElsewhere && server.updatedAt.addingTimeInterval(age) < date
    }

    static func destroy(_ server: PlacedServer, at date: Date) -> AgentCommand {
        command(.destroy, server, step: "leftover", at: date)
    }

    /// Each attempt has a key of its own, because the agent answers a known key from memory.
    private static func command(
        _ work: AgentWork, _ server: PlacedServer, step: String, at date: Date
    ) -> AgentCommand {
        let key = StepKey(saga: SagaID(server.id.uuid), step: step, generation: Int(date.timeIntervalSince1970))
        return AgentCommand(key: key, instanceID: server.id, epoch: server.epoch, work: work)
    }
}

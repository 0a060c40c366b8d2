package import CellProtocol
package import CloudModel
package import HypervisorDriver

/// What a host must have before a guest can be defined: disk, taps on bridges, address service, config drive.
///
/// Adapters: `LinuxGuestPreparation` for a real host, ``SimulatedGuestPreparation`` for a simulated one. Everything is
/// named after the server's id, so a repeat finds what an earlier try left, and removal needs no memory.
package protocol GuestPreparation: Sendable {
    /// Makes everything that is missing and answers the definition. Repeating it is harmless.
    func prepare(_ guest: GuestSpecification) async throws(GuestFailure) -> GuestDefinition
    /// Makes again what a reboot of the host took away (taps, bridges, address service), for a guest whose disk is here.
    func restore(_ guest: GuestSpecification) async throws(GuestFailure) -> GuestDefinition
    /// After a start of the agent or of the host: makes the networks of the guests that are here.
    func resume() async throws(GuestFailure)
    /// Removes everything of the server from this host; success when nothing is here.
    func remove(_ id: ServerID) async throws(GuestFailure)
    /// What is here of servers, whether they run or not, and of ports that no server here names.
    func holdings() async throws(GuestFailure) -> HostHoldings
    /// Takes devices and addresses of ports away that no server here names; the others stay.
    func release(_ ports: [PortID]) async throws(GuestFailure)
    /// Free for guests' disks, GiB in whole.
    func diskGiB() async throws(GuestFailure) -> Int
}

/// What a host has of servers, apart from what its hypervisor says.
package struct HostHoldings: Sendable, Equatable {
    package var servers: Set<ServerID>
    /// By their first ``AgentHoldings/portDigits`` hexadecimal digits.
    package var strayPorts: Set<String>

    package init(servers: Set<ServerID> = [], strayPorts: Set<String> = []) {
        self.servers = servers
        self.strayPorts = strayPorts
    }
}

/// Why a guest can't be as asked.
package struct GuestFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// Safe for the server's user.
    package var reason: String
    /// For operators: what was tried and what it said.
    package var details: String
    /// Not worth a repeat on this host.
    package var isPermanent: Bool

    package init(reason: String, details: String, isPermanent: Bool) {
        self.reason = reason
        self.details = details
        self.isPermanent = isPermanent
    }

    package var description: String { "\(reason) (\(details))" }
}

/// Nothing to prepare: the simulated hypervisor opens no file and no tap.
package struct SimulatedGuestPreparation: GuestPreparation {
    private let capacityGiB: Int

    package init(diskGiB: Int) { capacityGiB = diskGiB }

    package func prepare(_ guest: GuestSpecification) async throws(GuestFailure) -> GuestDefinition {
        GuestDefinition(
            id: guest.id, displayName: guest.name, vcpus: guest.vcpus, memoryMiB: guest.memoryMiB, rootDisk: nil,
            configDrivePath: nil, cards: [], consoleLogPath: "")
    }

    package func restore(_ guest: GuestSpecification) async throws(GuestFailure) -> GuestDefinition {
        try await prepare(guest)
    }

    package func resume() async throws(GuestFailure) {}

    package func remove(_: ServerID) async throws(GuestFailure) {}

    package func holdings() async throws(GuestFailure) -> HostHoldings { HostHoldings() }

    package func release(_: [PortID]) async throws(GuestFailure) {}

    package func diskGiB() async throws(GuestFailure) -> Int { capacityGiB }
}

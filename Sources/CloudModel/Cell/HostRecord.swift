package import FoundationEssentials

/// A compute host as its cell and its parents know it. Its provider in placement and its hypervisor share `id`.
package struct HostRecord: Codable, Sendable, Equatable {
    package var name: HostName
    package var id: ProviderID
    package var cell: CellPath
    package var availabilityZone: String
    /// An operator's word: a disabled host gets no new servers.
    package var isEnabled: Bool
    package var disabledReason: String?
    /// The agent speaks: its last report is younger than the bound of its cell.
    package var isUp: Bool
    package var lastSeenAt: Date
    package var inventory: HostInventory
    package var createdAt: Date
    package var updatedAt: Date

    package init(
        name: HostName, id: ProviderID, cell: CellPath, availabilityZone: String, inventory: HostInventory, seenAt: Date
    ) {
        self.name = name
        self.id = id
        self.cell = cell
        self.availabilityZone = availabilityZone
        self.isEnabled = true
        self.isUp = true
        self.lastSeenAt = seenAt
        self.inventory = inventory
        self.createdAt = seenAt
        self.updatedAt = seenAt
    }
}

/// What a host has, as its agent measured it.
package struct HostInventory: Codable, Sendable, Hashable {
    package var vcpus: Int
    package var memoryMiB: Int
    package var diskGiB: Int
    /// `QEMU`, `kvm` or `simulated`: the API's `hypervisor_type`.
    package var hypervisorType: String
    /// As libvirt writes it: major * 1,000,000 + minor * 1,000 + release.
    package var hypervisorVersion: Int
    package var hypervisorHostname: String
    /// Dotted IPv4 text of the host itself.
    package var hostIP: String
    package var cpuArchitecture: String
    package var cpuModel: String
    /// Virtual CPUs that may be promised per real one.
    package var cpuAllocationRatio: Double
    package var memoryAllocationRatio: Double
    package var diskAllocationRatio: Double
    package var reservedMemoryMiB: Int
    /// The agent's version.
    package var agentVersion: String

    package init(
        vcpus: Int, memoryMiB: Int, diskGiB: Int, hypervisorType: String, hypervisorVersion: Int,
        hypervisorHostname: String, hostIP: String, cpuArchitecture: String = "x86_64", cpuModel: String = "",
        cpuAllocationRatio: Double = 16, memoryAllocationRatio: Double = 1, diskAllocationRatio: Double = 1,
        reservedMemoryMiB: Int = 512, agentVersion: String
    ) {
        self.vcpus = vcpus
        self.memoryMiB = memoryMiB
        self.diskGiB = diskGiB
        self.hypervisorType = hypervisorType
        self.hypervisorVersion = hypervisorVersion
        self.hypervisorHostname = hypervisorHostname
        self.hostIP = hostIP
        self.cpuArchitecture = cpuArchitecture
        self.cpuModel = cpuModel
        self.cpuAllocationRatio = cpuAllocationRatio
        self.memoryAllocationRatio = memoryAllocationRatio
        self.diskAllocationRatio = diskAllocationRatio
        self.reservedMemoryMiB = reservedMemoryMiB
        self.agentVersion = agentVersion
    }
}

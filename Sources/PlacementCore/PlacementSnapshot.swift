package import CloudModel

/// What the scheduler plans with: every host that could take a server, with what is left of it.
package struct PlacementSnapshot: Sendable, Equatable {
    package struct Host: Sendable, Equatable {
        package var name: HostName
        package var cell: CellPath
        package var availabilityZone: String
        /// Enabled, up, and in a cell that is enabled and up.
        package var isEligible: Bool
        package var resources: [String: Resource]

        package init(
            name: HostName, cell: CellPath, availabilityZone: String, isEligible: Bool, resources: [String: Resource]
        ) {
            self.name = name
            self.cell = cell
            self.availabilityZone = availabilityZone
            self.isEligible = isEligible
            self.resources = resources
        }
    }

    /// One resource class of a host. Capacity is `(total - reserved) * allocationRatio`, rounded down.
    package struct Resource: Sendable, Equatable {
        package var total: Int64
        package var reserved: Int64
        package var allocationRatio: Double
        package var used: Int64

        package init(total: Int64, reserved: Int64, allocationRatio: Double, used: Int64) {
            self.total = total
            self.reserved = reserved
            self.allocationRatio = allocationRatio
            self.used = used
        }

        package var capacity: Int64 { Int64((Double(total - reserved) * allocationRatio).rounded(.down)) }
        package var free: Int64 { capacity - used }
    }

    package var hosts: [Host]

    package init(hosts: [Host]) { self.hosts = hosts }
}

/// What one server wants of a host.
package struct PlacementRequest: Sendable, Hashable {
    package var resources: [String: Int64]
    package var availabilityZone: String?
    /// An administrator's choice.
    package var forcedHost: HostName?
    /// Hosts on which an attempt failed.
    package var excludedHosts: Set<HostName>

    package init(
        resources: [String: Int64], availabilityZone: String? = nil, forcedHost: HostName? = nil,
        excludedHosts: Set<HostName> = []
    ) {
        self.resources = resources
        self.availabilityZone = availabilityZone
        self.forcedHost = forcedHost
        self.excludedHosts = excludedHosts
    }
}

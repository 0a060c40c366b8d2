package import CloudModel
package import FoundationEssentials

/// What the scheduler plans with: every host that could take a server, with what is left of it.
package struct PlacementSnapshot: Sendable, Equatable {
    package struct Host: Sendable, Equatable {
        package var name: HostName
        package var cell: CellPath
        /// As its aggregates say, else as it says itself.
        package var availabilityZone: String
        /// Numbers of the aggregates that it is in.
        package var aggregates: [Int64]
        /// Enabled, up, and in a cell that is enabled and up.
        package var isEligible: Bool
        /// Since when it, or a cell on the way to it, is down; nil when that is not all that keeps servers from it.
        package var downSince: Date?
        package var resources: [String: Resource]

        package init(
            name: HostName, cell: CellPath, availabilityZone: String, aggregates: [Int64] = [], isEligible: Bool,
            downSince: Date? = nil, resources: [String: Resource]
        ) {
            self.name = name
            self.cell = cell
            self.availabilityZone = availabilityZone
            self.aggregates = aggregates
            self.isEligible = isEligible
            self.downSince = downSince
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

    /// A server group, with how many of its servers which hosts have.
    package struct Group: Sendable, Equatable {
        package var policy: ServerGroup.Policy
        package var servers: [HostName: Int]
        private let serversPerHost: Int

        package init(policy: ServerGroup.Policy, serversPerHost: Int? = nil, servers: [HostName: Int] = [:]) {
            self.policy = policy
            self.servers = servers
            self.serversPerHost = serversPerHost ?? 1
        }

        /// Whether the policy lets one more of its servers on the host.
        package func accepts(_ host: HostName) -> Bool {
            switch policy {
            case .affinity: servers.isEmpty || servers[host] != nil
            case .antiAffinity: servers[host, default: 0] < serversPerHost
            case .softAffinity, .softAntiAffinity: true
            }
        }

        /// How far a host is from what a soft policy would rather have: less is better.
        func reluctance(_ host: HostName) -> Int {
            switch policy {
            case .affinity, .antiAffinity: 0
            case .softAffinity: -servers[host, default: 0]
            case .softAntiAffinity: servers[host, default: 0]
            }
        }
    }

    package var hosts: [Host]
    /// Metadata of aggregates, by number.
    package var aggregates: [Int64: [String: String]]
    /// Of the servers that are to be placed.
    package var groups: [ServerGroupID: Group]

    package init(
        hosts: [Host], aggregates: [Int64: [String: String]] = [:], groups: [ServerGroupID: Group] = [:]
    ) {
        self.hosts = hosts
        self.aggregates = aggregates
        self.groups = groups
    }

    /// As it would be if the hosts were back that went down after `date`; nil when there are none.
    package func withReturned(downAfter date: Date) -> PlacementSnapshot? {
        let away = hosts.indices.filter { index in hosts[index].downSince.map { $0 > date } ?? false }
        guard !away.isEmpty else { return nil }
        var copy = self
        for index in away { copy.hosts[index].isEligible = true }
        return copy
    }
}

/// What one server wants of a host.
package struct PlacementRequest: Sendable, Hashable {
    package var resources: [String: Int64]
    /// Aggregates may keep a host for some projects.
    package var projectID: ProjectID?
    /// What some aggregate of the host must have in its metadata: ``Flavor/aggregateSpecs``.
    package var aggregateSpecs: [String: String]
    package var availabilityZone: String?
    /// An administrator's choice.
    package var forcedHost: HostName?
    /// Hosts that it must not come to: an attempt failed there, or a server is there that it asked to be apart from.
    package var excludedHosts: Set<HostName>
    /// Where the servers are that it asked to be with; nil for any host.
    package var allowedHosts: Set<HostName>?
    package var group: ServerGroupID?

    package init(
        resources: [String: Int64], projectID: ProjectID? = nil, aggregateSpecs: [String: String] = [:],
        availabilityZone: String? = nil, forcedHost: HostName? = nil, excludedHosts: Set<HostName> = [],
        allowedHosts: Set<HostName>? = nil, group: ServerGroupID? = nil
    ) {
        self.resources = resources
        self.projectID = projectID
        self.aggregateSpecs = aggregateSpecs
        self.availabilityZone = availabilityZone
        self.forcedHost = forcedHost
        self.excludedHosts = excludedHosts
        self.allowedHosts = allowedHosts
        self.group = group
    }
}

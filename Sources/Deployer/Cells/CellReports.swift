/// A cell as the cells API shows it.
package struct CellReport: Codable, Sendable, Equatable {
    package struct Health: Codable, Sendable, Equatable {
        /// `up`, `slow` or `down`.
        package var state: String
        package var reason: String?
        package var since: String
    }

    package struct Servers: Codable, Sendable, Equatable {
        package var total: Int
        package var building: Int
        package var deleting: Int
        package var projects: Int
    }

    package struct Hosts: Codable, Sendable, Equatable {
        package var total: Int
        package var up: Int
        package var enabled: Int
    }

    package struct Conductors: Codable, Sendable, Equatable {
        package var up: Int
    }

    package struct Versions: Codable, Sendable, Equatable {
        package var supervisor: String?
        /// How many hosts run which version.
        package var agents: [String: Int]
    }

    package struct Events: Codable, Sendable, Equatable {
        package var applied: Int64
        package var newest: Int64
        package var lag: Int64
    }

    package struct Cells: Codable, Sendable, Equatable {
        package var total: Int
        package var down: Int
    }

    package var path: String
    package var parent: String?
    /// 1 for a child of the root.
    package var depth: Int
    /// `branch` or `leaf`.
    package var kind: String
    /// Below it.
    package var cells: Cells
    package var health: Health
    package var placement: PlacementReport
    package var servers: Servers
    package var hosts: Hosts
    package var conductors: Conductors
    package var capacity: CapacityReport
    package var versions: Versions
    package var events: Events
    package var heartbeatAt: String?
}

/// An operator's word on a cell or a host.
package struct PlacementReport: Codable, Sendable, Equatable {
    /// `enabled`, `disabled` or `draining`.
    package var state: String
    package var reason: String?
    package var since: String
}

package struct CapacityReport: Codable, Sendable, Equatable {
    package struct Resource: Codable, Sendable, Equatable {
        package var total: Int
        /// What may be promised.
        package var usable: Int
        package var used: Int
    }

    package var vcpus: Resource
    package var memoryMib: Resource
    package var diskGib: Resource
}

/// A host as the cells API shows it.
package struct HostReport: Codable, Sendable, Equatable {
    package var name: String
    package var id: String
    package var cell: String
    package var availabilityZone: String
    /// `up` or `down`.
    package var state: String
    package var lastSeenAt: String
    package var placement: PlacementReport
    package var servers: Int
    package var address: String
    package var hypervisorType: String
    package var agentVersion: String
    package var capacity: CapacityReport
    /// In the answer to an order: whether the host's cell has heard of it.
    package var knownToCell: Bool?
}

/// A server as the cells API shows it.
package struct ServerReport: Codable, Sendable, Equatable {
    package struct BuildRequest: Codable, Sendable, Equatable {
        package var state: String
        package var failedAttempts: Int
        package var excludedHosts: [String]
        package var fault: String?
    }

    package struct Placement: Codable, Sendable, Equatable {
        package var attempt: Int
        package var cell: String
        package var host: String
        package var placedAt: String
        package var failure: String?
        package var failedAt: String?
    }

    package struct Action: Codable, Sendable, Equatable {
        package var action: String
        package var requestId: String
        package var userId: String
        package var projectId: String
        package var startedAt: String
        package var message: String?
    }

    package var id: String
    package var name: String
    package var projectId: String
    package var status: String
    package var taskState: String?
    package var cell: String?
    package var cellHealth: String?
    package var host: String?
    package var createdAt: String
    package var updatedAt: String
    package var deletedAt: String?
    package var buildRequest: BuildRequest?
    package var placements: [Placement]
    /// Newest first.
    package var actions: [Action]
}

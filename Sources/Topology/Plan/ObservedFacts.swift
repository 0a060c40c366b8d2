package import CloudModel

/// What was found when one looked: by resource, its attributes as they are. Made from reality only.
package struct ObservedFacts: Sendable, Equatable {
    package enum Observation: Sendable, Equatable {
        case absent
        /// Found, with at least the attributes that a ``Resource`` of this kind wants.
        case present([String: String])
        /// Could not be looked at; the text says why (`ssh: connection refused`).
        case unknown(String)
    }

    /// Resources of ours that were looked at, whether the topology wants them or not. One that is missing here is absent.
    package var observations: Observations
    /// Hosts that could not be reached, with the reason: everything on them is unknown.
    package var unreachable: [HostName: String]
    /// Servers by cell, of cells whose database could be asked.
    package var usage: [CellPath: CellUsage]

    package init(
        observations: Observations = Observations(), unreachable: [HostName: String] = [:],
        usage: [CellPath: CellUsage] = [:]
    ) {
        self.observations = observations
        self.unreachable = unreachable
        self.usage = usage
    }

    package subscript(id: Resource.ID) -> Observation {
        observation(of: id, observations[id])
    }

    /// What is known of a resource, of which this was found.
    func observation(of id: Resource.ID, _ found: Observation?) -> Observation {
        if let host = id.host, let reason = unreachable[host] { return .unknown(reason) }
        return found ?? .absent
    }
}

package import FoundationEssentials

/// A set of hosts, of any cells, that administrators described. A host may be in several.
///
/// With `availability_zone` in its metadata it puts its hosts in that zone. Other keys meet the extra specs of flavors
/// (`aggregate_instance_extra_specs:KEY`) or keep other projects out (`filter_tenant_id`).
package struct Aggregate: Sendable, Equatable {
    package static let zoneKey = "availability_zone"

    /// What the API calls `id`; 0 until it is stored.
    package var number: Int64
    /// What the API calls `uuid`.
    package var id: AggregateID
    package var name: String
    package var metadata: [String: String]
    /// In order of their names.
    package var hosts: [HostName]
    package var createdAt: Date
    package var updatedAt: Date?

    package init(
        number: Int64 = 0, id: AggregateID, name: String, metadata: [String: String] = [:], hosts: [HostName] = [],
        createdAt: Date, updatedAt: Date? = nil
    ) {
        self.number = number
        self.id = id
        self.name = name
        self.metadata = metadata
        self.hosts = hosts
        self.createdAt = createdAt
        self.updatedAt = updatedAt
    }

    package var zone: String? { metadata[Self.zoneKey] }
}

/// What administrators do to an aggregate that exists.
package enum AggregateChange: Sendable, Equatable {
    /// What is nil stays.
    case describe(name: String?, zone: String?)
    case add(HostName)
    case remove(HostName)
    /// Keys that are nil go; others of the aggregate's stay.
    case setMetadata([String: String?])
}

package enum AggregateError: Error, Sendable, Equatable {
    case notFound(Int64)
    case nameTaken(String)
    case hostUnknown(HostName)
    case hostPresent(HostName)
    case hostAbsent(HostName)
    /// It has hosts, so it can't go.
    case notEmpty
    /// A host would be in two zones: in those already.
    case zonesDiffer(HostName, [String])
    /// The zone of a host with servers would change under them.
    case occupied(HostName, from: String, to: String, servers: Int)
}

/// What decides whether an aggregate may change the zone of a host.
package struct AggregateHost: Sendable, Equatable {
    /// The zone that the host's own configuration says: it counts where no aggregate says otherwise.
    package var configuredZone: String
    /// Zones that other aggregates put it in: one at most.
    package var otherZones: [String]
    /// Servers that are there or on their way.
    package var servers: Int

    package init(configuredZone: String, otherZones: [String], servers: Int) {
        self.configuredZone = configuredZone
        self.otherZones = otherZones
        self.servers = servers
    }

    /// Where it is with `aggregate`, or without it.
    fileprivate func zone(with aggregate: Aggregate?) -> String {
        otherZones.first ?? aggregate?.zone ?? configuredZone
    }
}

extension Aggregate {
    /// The hosts whose zone `change` may touch: what ``applying(_:hosts:now:)`` must know of.
    package func hosts(concernedBy change: AggregateChange) -> [HostName] {
        switch change {
        case .add(let host), .remove(let host): [host]
        case .describe(_, let zone): zone == nil || zone == self.zone ? [] : hosts
        case .setMetadata(let metadata):
            metadata[Self.zoneKey].map { $0 == zone } ?? true ? [] : hosts
        }
    }

    /// The aggregate after `change`.
    /// - Parameter known: those of ``hosts(concernedBy:)`` that exist.
    /// - Throws: a host is in one zone at most, and servers never change theirs.
    package func applying(
        _ change: AggregateChange, hosts known: [HostName: AggregateHost], now: Date
    ) throws(AggregateError) -> Aggregate {
        var changed = self
        changed.updatedAt = now
        switch change {
        case .describe(let name, let zone):
            if let name { changed.name = name }
            if let zone { changed.metadata[Self.zoneKey] = zone }
        case .add(let host):
            guard known[host] != nil else { throw .hostUnknown(host) }
            guard !hosts.contains(host) else { throw .hostPresent(host) }
            changed.hosts.append(host)
            changed.hosts.sort()
        case .remove(let host):
            guard hosts.contains(host) else { throw .hostAbsent(host) }
            changed.hosts.removeAll { $0 == host }
        case .setMetadata(let metadata):
            for (key, value) in metadata { changed.metadata[key] = value }
        }
        for (name, host) in known.sorted(by: { $0.key < $1.key }) {
            let isMember = changed.hosts.contains(name)
            if isMember, let zone = changed.zone {
                let others = host.otherZones.filter { $0 != zone }
                guard others.isEmpty else { throw .zonesDiffer(name, others) }
            }
            let before = host.zone(with: hosts.contains(name) ? self : nil)
            let after = host.zone(with: isMember ? changed : nil)
            guard before == after || host.servers == 0 else {
                throw .occupied(name, from: before, to: after, servers: host.servers)
            }
        }
        return changed
    }
}

/// Aggregates, kept at the root. What was changed counts for every server that is placed after the change returned.
package protocol AggregateStore: Sendable {
    /// All of them, in order of their numbers.
    func aggregates() async throws -> [Aggregate]
    func aggregate(_ number: Int64) async throws -> Aggregate?
    /// - Returns: the aggregate with its number.
    /// - Throws: ``AggregateError/nameTaken(_:)``.
    func insert(_ aggregate: Aggregate) async throws -> Aggregate
    /// - Throws: ``AggregateError``.
    func change(_ number: Int64, _ change: AggregateChange, now: Date) async throws -> Aggregate
    /// - Throws: ``AggregateError/notFound(_:)``, ``AggregateError/notEmpty``.
    func deleteAggregate(_ number: Int64) async throws
}

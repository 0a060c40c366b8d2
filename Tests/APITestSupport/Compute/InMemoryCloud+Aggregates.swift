package import CloudModel
package import FoundationEssentials
import Synchronization

extension InMemoryCloud: AggregateStore {
    package func aggregates() async throws -> [Aggregate] { state.withLock { $0.aggregates } }

    package func aggregate(_ number: Int64) async throws -> Aggregate? {
        state.withLock { state in state.aggregates.first { $0.number == number } }
    }

    package func insert(_ aggregate: Aggregate) async throws -> Aggregate {
        try state.withLock { state in
            try Self.checkName(of: aggregate, state)
            var stored = aggregate
            state.lastAggregate += 1
            stored.number = state.lastAggregate
            state.aggregates.append(stored)
            return stored
        }
    }

    package func change(_ number: Int64, _ change: AggregateChange, now: Date) async throws -> Aggregate {
        try state.withLock { state in
            guard let index = state.aggregates.firstIndex(where: { $0.number == number }) else {
                throw AggregateError.notFound(number)
            }
            let known = state.aggregates[index]
            let others = state.aggregates.filter { $0.number != number }
            var hosts: [HostName: AggregateHost] = [:]
            for name in known.hosts(concernedBy: change) {
                guard let host = state.hosts.first(where: { $0.record.name == name }) else { continue }
                let servers = state.servers.values.filter {
                    $0.instance.host == name && $0.instance.state.vm != .deleted
                }
                hosts[name] = AggregateHost(
                    configuredZone: host.record.availabilityZone,
                    otherZones: Set(others.filter { $0.hosts.contains(name) }.compactMap(\.zone)).sorted(),
                    servers: servers.count)
            }
            let changed = try known.applying(change, hosts: hosts, now: now)
            try Self.checkName(of: changed, state)
            state.aggregates[index] = changed
            return changed
        }
    }

    package func deleteAggregate(_ number: Int64) async throws {
        try state.withLock { state in
            guard let index = state.aggregates.firstIndex(where: { $0.number == number }) else {
                throw AggregateError.notFound(number)
            }
            guard state.aggregates[index].hosts.isEmpty else { throw AggregateError.notEmpty }
            state.aggregates.remove(at: index)
        }
    }

    private static func checkName(of aggregate: Aggregate, _ state: State) throws(AggregateError) {
        let isTaken = state.aggregates.contains { $0.name == aggregate.name && $0.number != aggregate.number }
        if isTaken { throw .nameTaken(aggregate.name) }
    }
}

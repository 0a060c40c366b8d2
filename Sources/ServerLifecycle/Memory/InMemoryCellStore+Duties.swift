package import CellProtocol
package import CloudModel
package import FoundationEssentials
import Primitives
import Synchronization

// MARK: Hosts

extension InMemoryCellStore {
    package func hosts() async throws(CellStoreError) -> [HostRecord] {
        state.withLock { state in state.hosts.values.sorted { $0.name < $1.name } }
    }

    package func touchHosts(_ sightings: [HostSighting]) async throws(CellStoreError) -> Set<HostName> {
        state.withLock { state in
            var touched: Set<HostName> = []
            for sighting in sightings {
                guard let host = state.hosts[sighting.name], host.isUp, host.id == sighting.providerID,
                    host.availabilityZone == sighting.availabilityZone
                else { continue }
                state.hosts[sighting.name]?.lastSeenAt = max(host.lastSeenAt, sighting.seenAt)
                touched.insert(sighting.name)
            }
            return touched
        }
    }

    package func changeHosts<Result: Sendable>(
        _ names: [HostName], providers: [ProviderID],
        _ decide: @escaping @Sendable ([HostName: HostRecord]) -> HostDecision<Result>
    ) async throws(CellStoreError) -> Result {
        let decision = state.withLock { state in
            let decision = decide(
                state.hosts.filter { names.contains($0.key) || providers.contains($0.value.id) })
            for record in decision.records { state.hosts[record.name] = record }
            append(decision.events, to: &state)
            return decision
        }
        if !decision.events.isEmpty { nudge([.outbox]) }
        return decision.result
    }

    package func silentHosts(since date: Date) async throws(CellStoreError) -> [HostName] {
        state.withLock { state in
            state.hosts.values.filter { $0.isUp && $0.lastSeenAt < date }.map(\.name).sorted()
        }
    }
}

// MARK: Outbox

extension InMemoryCellStore {
    package func unpublishedEvents(confirmed: Int64?, limit: Int) async throws(CellStoreError) -> [EncodedEvent] {
        let events = state.withLock { state in
            if let confirmed { state.publishedSequence = max(state.publishedSequence, confirmed) }
            var numbered = 0
            for index in state.outbox.indices where state.outbox[index].sequence == nil && numbered < limit {
                state.newestSequence += 1
                numbered += 1
                state.outbox[index].sequence = state.newestSequence
            }
            return sequenced(in: state, after: state.publishedSequence, limit: limit)
        }
        return try events.encoded()
    }

    package func events(
        after sequence: Int64, limit: Int
    ) async throws(CellStoreError) -> (events: [EncodedEvent], newest: Int64) {
        let (events, newest) = state.withLock { state in
            (sequenced(in: state, after: sequence, limit: limit), state.newestSequence)
        }
        return (try events.encoded(), newest)
    }

    private func sequenced(in state: State, after sequence: Int64, limit: Int) -> [SequencedEvent] {
        let numbered = state.outbox.compactMap { event in
            event.sequence.map { SequencedEvent(cell: cell, sequence: $0, event: event.event) }
        }
        return Array(numbered.filter { $0.sequence > sequence }.sorted { $0.sequence < $1.sequence }.prefix(limit))
    }

    package func pruneEvents(before date: Date, limit: Int) async throws(CellStoreError) -> Int {
        state.withLock { state in
            let count = state.outbox.count
            var left = limit
            state.outbox.removeAll { event in
                guard left > 0, event.at < date, let sequence = event.sequence, sequence <= state.publishedSequence
                else { return false }
                left -= 1
                return true
            }
            return count - state.outbox.count
        }
    }
}

// MARK: Duties

extension InMemoryCellStore {
    package func takeDuty(
        _ duty: CellDuty, owner: String, for duration: Duration
    ) async throws(CellStoreError) -> Bool {
        let now = wallClock.now()
        return state.withLock { state in
            if let held = state.duties[duty], held.owner != owner, held.until >= now { return false }
            state.duties[duty] = (owner, now + duration.timeInterval)
            return true
        }
    }

    package func releaseDuty(_ duty: CellDuty, owner: String) async throws(CellStoreError) {
        state.withLock { state in
            if state.duties[duty]?.owner == owner { state.duties[duty] = nil }
        }
    }

    package func pulse() async throws(CellStoreError) -> CellPulse {
        let now = wallClock.now()
        return state.withLock { state in
            CellPulse(
                newestSequence: state.newestSequence,
                conductorsUp: state.conductors.values.filter { now < $0 }.count,
                hostsUp: state.hosts.values.filter(\.isUp).count, hosts: state.hosts.count)
        }
    }

    package func listen(
        _ nudge: CellNudge, _ onNudge: @escaping @Sendable () -> Void
    ) async throws(CellStoreError) {
        let number = state.withLock { state in
            state.nextListener += 1
            state.listeners[state.nextListener] = (nudge, onNudge)
            return state.nextListener
        }
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
        for await _ in stream {}
        continuation.finish()
        state.withLock { $0.listeners[number] = nil }
    }
}

extension [SequencedEvent] {
    /// As a database keeps them.
    func encoded() throws(CellStoreError) -> [EncodedEvent] {
        do {
            return try map { try EncodedEvent($0) }
        } catch {
            throw .broken("\(error)")
        }
    }
}

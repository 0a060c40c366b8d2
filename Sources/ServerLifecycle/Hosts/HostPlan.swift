package import CellProtocol
package import CloudModel
package import FoundationEssentials

/// Decides what becomes of hosts that speak, fall silent, or are enabled and disabled. Pure.
package enum HostPlan {
    package struct Sighted: Sendable, Equatable {
        /// Hosts that joined or came back.
        package var woken: [HostName] = []
        /// Hosts that claim another's provider: they are not listened to.
        package var impostors: [HostName] = []
    }

    /// Hosts spoke. One that is new joins when it says what it has; news goes upward only when something changed.
    /// - Parameter known: those that spoke, and those that have a provider that was claimed.
    package static func sight(
        _ sightings: [HostSighting], known: [HostName: HostRecord], cell: CellPath
    ) -> HostDecision<Sighted> {
        var records = known
        var changed: Set<HostName> = []
        var seen: Set<HostName> = []
        var result = Sighted()
        for sighting in sightings {
            // A provider is a host's for good: whoever could take another's would take its servers' places too.
            if records.values.contains(where: { $0.id == sighting.providerID && $0.name != sighting.name }) {
                result.impostors.append(sighting.name)
                continue
            }
            seen.insert(sighting.name)
            guard var record = records[sighting.name] else {
                guard let inventory = sighting.inventory else { continue }
                records[sighting.name] = HostRecord(
                    name: sighting.name, id: sighting.providerID, cell: cell,
                    availabilityZone: sighting.availabilityZone, inventory: inventory, seenAt: sighting.seenAt)
                changed.insert(sighting.name)
                result.woken.append(sighting.name)
                continue
            }
            if !record.isUp { result.woken.append(record.name) }
            record.isUp = true
            record.id = sighting.providerID
            record.availabilityZone = sighting.availabilityZone
            record.inventory = sighting.inventory ?? record.inventory
            if record != records[sighting.name] {
                record.updatedAt = sighting.seenAt
                changed.insert(record.name)
            }
            record.lastSeenAt = max(record.lastSeenAt, sighting.seenAt)
            records[sighting.name] = record
        }
        let written = seen.sorted().compactMap { records[$0] }
        return HostDecision(
            records: written, events: written.filter { changed.contains($0.name) }.map { .hostChanged($0) },
            result: result)
    }

    /// Marks those down that are still silent.
    /// - Returns: as result, the hosts that went down.
    package static func silence(
        since date: Date, known: [HostName: HostRecord], now: Date
    ) -> HostDecision<[HostName]> {
        let silent = known.values.filter { $0.isUp && $0.lastSeenAt < date }.sorted { $0.name < $1.name }
        let records = silent.map { record in
            var record = record
            record.isUp = false
            record.updatedAt = now
            return record
        }
        return HostDecision(
            records: records, events: records.map { .hostChanged($0) }, result: records.map(\.name))
    }

    /// An operator enables or disables a host.
    /// - Returns: as result, the host as it is then; nil when there is none.
    package static func set(
        _ request: SetHostRequest, known: [HostName: HostRecord], now: Date
    ) -> HostDecision<HostRecord?> {
        guard var record = known[request.host] else { return HostDecision(records: [], events: [], result: nil) }
        let reason = request.isEnabled ? nil : request.reason
        guard record.isEnabled != request.isEnabled || record.disabledReason != reason else {
            return HostDecision(records: [], events: [], result: record)
        }
        record.isEnabled = request.isEnabled
        record.disabledReason = reason
        record.updatedAt = now
        return HostDecision(records: [record], events: [.hostChanged(record)], result: record)
    }
}

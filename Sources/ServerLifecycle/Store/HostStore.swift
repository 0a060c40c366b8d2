package import CellProtocol
package import CloudModel
package import FoundationEssentials

/// The cell's hosts.
package protocol HostStore: Sendable {
    /// By name.
    func hosts() async throws(CellStoreError) -> [HostRecord]

    /// Notes that hosts speak, where nothing else about them changed: those that are known under that provider and
    /// zone, and up. Cheap; a crash of the database may forget it.
    /// - Returns: the names noted. The others need ``changeHosts(_:_:)``.
    func touchHosts(_ sightings: [HostSighting]) async throws(CellStoreError) -> Set<HostName>

    /// Changes hosts in one transaction; `decide` sees those that exist of `names`, and those that have one of
    /// `providers`, locked.
    func changeHosts<Result: Sendable>(
        _ names: [HostName], providers: [ProviderID],
        _ decide: @escaping @Sendable ([HostName: HostRecord]) -> HostDecision<Result>
    ) async throws(CellStoreError) -> Result

    /// Hosts that count as up and were last seen before `date`.
    func silentHosts(since date: Date) async throws(CellStoreError) -> [HostName]
}

extension HostStore {
    package func changeHosts<Result: Sendable>(
        _ names: [HostName], _ decide: @escaping @Sendable ([HostName: HostRecord]) -> HostDecision<Result>
    ) async throws(CellStoreError) -> Result {
        try await changeHosts(names, providers: [], decide)
    }
}

/// A host spoke.
package struct HostSighting: Sendable, Equatable {
    package var name: HostName
    package var providerID: ProviderID
    package var availabilityZone: String
    package var seenAt: Date
    /// Nil when the host did not say.
    package var inventory: HostInventory?

    package init(
        name: HostName, providerID: ProviderID, availabilityZone: String, seenAt: Date, inventory: HostInventory?
    ) {
        self.name = name
        self.providerID = providerID
        self.availabilityZone = availabilityZone
        self.seenAt = seenAt
        self.inventory = inventory
    }
}

package struct HostDecision<Result: Sendable>: Sendable {
    /// New, or instead of the row that was there.
    package var records: [HostRecord]
    package var events: [CellEvent]
    package var result: Result

    package init(records: [HostRecord], events: [CellEvent], result: Result) {
        self.records = records
        self.events = events
        self.result = result
    }
}

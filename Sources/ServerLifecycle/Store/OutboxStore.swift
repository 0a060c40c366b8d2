package import CellProtocol
package import FoundationEssentials

/// The cell's events, from the transaction that made them to the parent.
package protocol OutboxStore: Sendable {
    /// Numbers events that have no number yet, without gaps and in the order in which they were made, and gives those
    /// not known to be published, in order, at most `limit`.
    /// - Parameter confirmed: everything up to this number has been published; nil when not known.
    func unpublishedEvents(confirmed: Int64?, limit: Int) async throws(CellStoreError) -> [EncodedEvent]

    /// Numbered events after `sequence`, in order, at most `limit`, and the newest number.
    func events(after sequence: Int64, limit: Int) async throws(CellStoreError) -> (
        events: [EncodedEvent], newest: Int64
    )

    /// Forgets published events older than `date`, at most `limit`.
    func pruneEvents(before date: Date, limit: Int) async throws(CellStoreError) -> Int
}

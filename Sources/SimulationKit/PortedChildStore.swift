import CellProtocol
import FoundationEssentials
import ServerLifecycle

/// A store as one process reaches it.
protocol PortedStore: Sendable {
    associatedtype Base: Sendable
    var base: Base { get }
    var port: DatabasePort { get }
}

/// What a leaf's store and a branch's have in common.
protocol PortedChildStore: PortedStore, ChildStore where Base: ChildStore {}

extension PortedChildStore {
    func unpublishedEvents(confirmed: Int64?, limit: Int) async throws(CellStoreError) -> [EncodedEvent] {
        try await port.call { () async throws(CellStoreError) in
            try await base.unpublishedEvents(confirmed: confirmed, limit: limit)
        }
    }
    func events(
        after sequence: Int64, limit: Int
    ) async throws(CellStoreError) -> (events: [EncodedEvent], newest: Int64) {
        try await port.call { () async throws(CellStoreError) in try await base.events(after: sequence, limit: limit) }
    }
    func pruneEvents(before date: Date, limit: Int) async throws(CellStoreError) -> Int {
        try await port.call { () async throws(CellStoreError) in
            try await base.pruneEvents(before: date, limit: limit)
        }
    }
    func takeDuty(_ duty: CellDuty, owner: String, for duration: Duration) async throws(CellStoreError) -> Bool {
        try await port.call { () async throws(CellStoreError) in
            try await base.takeDuty(duty, owner: owner, for: duration)
        }
    }
    func releaseDuty(_ duty: CellDuty, owner: String) async throws(CellStoreError) {
        try await port.call { () async throws(CellStoreError) in try await base.releaseDuty(duty, owner: owner) }
    }
    func pulse() async throws(CellStoreError) -> CellPulse {
        try await port.call { () async throws(CellStoreError) in try await base.pulse() }
    }
    func listen(_ nudge: CellNudge, _ onNudge: @escaping @Sendable () -> Void) async throws(CellStoreError) {
        try await base.listen(nudge, onNudge)
    }
}

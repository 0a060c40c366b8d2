import CellProtocol
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle

/// Numbers the cell's events and sends them to the parent, in order, each confirmed before the next: one supervisor at a
/// time does. Whoever takes the duty over sends what was not known to be published again; the parent drops repeats.
///
/// Of many at once only the last is sent: the parent sees the gap before it and asks for what is missing, which comes in
/// one answer instead of many messages.
struct EventPublisher: Sendable {
    /// So many events that wait together are sent one by one.
    static let singleLimit = 20

    let parts: CellParts

    private struct Duty {
        /// By this supervisor's clock, with half of the lease to spare.
        var renewAt = Date.distantPast
        var isHeld = false
        /// Published, but not yet noted in the database: it goes with the next transaction.
        var confirmed: Int64?
    }

    func run() async {
        let (wakes, wake) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                await parts.persistently("no nudges from the database") {
                    try await parts.store.listen(.outbox) { wake.yield() }
                }
            }
            group.addTask {
                repeat { wake.yield() } while await parts.pause(parts.settings.publishInterval)
            }
            var duty = Duty()
            var failures = 0
            for await _ in wakes {
                do {
                    try await turn(&duty)
                    failures = 0
                } catch {
                    if Task.isCancelled { break }
                    parts.logger.warning("events wait", metadata: ["error": "\(ErrorChain(error))"])
                    var random = parts.ids.chance()
                    guard await parts.pause(Backoff().delay(attempt: failures, using: &random)) else { break }
                    failures += 1
                    wake.yield()
                }
            }
            group.cancelAll()
        }
    }

    private func turn(_ duty: inout Duty) async throws {
        repeat {
            let now = parts.wallClock.now()
            if now >= duty.renewAt {
                let wasHeld = duty.isHeld
                duty.isHeld = try await parts.store.takeDuty(
                    .publisher, owner: parts.name, for: parts.settings.dutyDuration)
                duty.renewAt = duty.isHeld ? now + parts.settings.dutyDuration.timeInterval / 2 : now
                if !wasHeld { duty.confirmed = nil }
            }
            guard duty.isHeld else { return }
            let events = try await parts.store.unpublishedEvents(
                confirmed: duty.confirmed, limit: parts.settings.publishBatch)
            duty.confirmed = nil
            for event in events.count > Self.singleLimit ? events.suffix(1) : events[...] {
                try await publish(try event.decoded(of: parts.cell))
                duty.confirmed = event.sequence
            }
            if events.count < parts.settings.publishBatch { return }
        } while !Task.isCancelled
    }

    private func publish(_ event: SequencedEvent) async throws {
        let envelope = Envelope(
            messageID: parts.ids.uuid(), idempotencyKey: "\(event.cell)#\(event.sequence)", requestID: "-",
            sender: parts.sender, kind: SequencedEvent.kind, body: try JSONEncoder().encode(event))
        try await parts.publish(envelope, kind: event.event.route)
    }
}

extension CellEvent {
    /// The routing key of the events exchange.
    var route: String {
        switch self {
        case .instanceChanged: "instance.changed"
        case .buildFailed: "instance.build-failed"
        case .instanceDeleted: "instance.deleted"
        case .hostChanged: "host.changed"
        case .cellChanged: "cell.changed"
        case .cellRemoved: "cell.removed"
        }
    }
}

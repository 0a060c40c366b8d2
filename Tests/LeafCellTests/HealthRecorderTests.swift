import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives
import Synchronization
import TestSupport
import Testing

@testable import Supervisor

@Suite(.timeLimit(.minutes(1))) struct HealthRecorderTests {
    /// Takes what is written, refuses it while told to, and holds the first write back until it is let go.
    private final class Store: Sendable {
        struct Refused: Error {}

        let writes = Mutex<[[CellStanding]]>([])
        let isRefusing = Mutex(false)
        let gate = Nudge()

        func write(_ standings: [CellStanding]) async throws {
            let isFirst = writes.withLock { writes in
                writes.append(standings)
                return writes.count == 1
            }
            if isFirst { await gate.wait() }
            if isRefusing.withLock({ $0 }) { throw Refused() }
        }
    }

    private static func standing(_ number: Int, _ health: CellStatus.Health) -> CellStanding {
        CellStanding(path: path("/c\(number)"), health: health, reason: nil, since: testEpoch, heartbeat: nil)
    }

    private static func with(
        _ body: (HealthRecorder, Store, _ ups: Mutexed<Int>) async throws -> Void
    ) async throws {
        let store = Store()
        let ups = Mutexed(0)
        let recorder = HealthRecorder(
            clock: ContinuousClock(), logger: quiet, onUp: { ups.withLock { $0 += 1 } },
            write: { try await store.write($0) })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await recorder.run() }
            defer { group.cancelAll() }
            try await body(recorder, store, ups)
        }
    }

    @Test("what changes while something is written is written together, the newest of each child only")
    func together() async throws {
        try await Self.with { recorder, store, ups in
            recorder.note(Self.standing(0, .down))
            try await eventually("the first is being written") { store.writes.withLock { $0.count } == 1 }
            for number in 1...100 {
                recorder.note(Self.standing(number, .down))
                recorder.note(Self.standing(number, .up))
            }
            store.gate.signal()
            try await eventually("the rest is written") { ups.withLock { $0 } == 1 }
            let writes = store.writes.withLock { $0 }
            #expect(writes.map(\.count) == [1, 100])
            #expect(writes[1].allSatisfy { $0.health == .up })
        }
    }

    @Test("what could not be written is written again, unless something newer is known")
    func again() async throws {
        try await Self.with { recorder, store, ups in
            store.isRefusing.withLock { $0 = true }
            recorder.note(Self.standing(1, .down))
            try await eventually("the first is being written") { store.writes.withLock { $0.count } == 1 }
            recorder.note(Self.standing(1, .up))
            recorder.note(Self.standing(2, .down))
            store.gate.signal()
            try await eventually("tried again") { store.writes.withLock { $0.count } >= 2 }
            #expect(ups.withLock { $0 } == 0)
            store.isRefusing.withLock { $0 = false }
            try await eventually("written") { ups.withLock { $0 } == 1 }
            #expect(store.writes.withLock { $0.last } == [Self.standing(1, .up), Self.standing(2, .down)])
        }
    }

    @Test("what was to be forgotten is not written again")
    func forgotten() async throws {
        try await Self.with { recorder, store, ups in
            store.isRefusing.withLock { $0 = true }
            recorder.note(Self.standing(1, .up))
            try await eventually("the first is being written") { store.writes.withLock { $0.count } == 1 }
            recorder.note(Self.standing(2, .up))
            recorder.forget()
            recorder.note(Self.standing(3, .up))
            store.gate.signal()
            try await eventually("tried again") { store.writes.withLock { $0.count } > 1 }
            store.isRefusing.withLock { $0 = false }
            try await eventually("written") { ups.withLock { $0 } > 0 }
            #expect(!store.writes.withLock { $0.dropFirst().joined().contains { $0.path != path("/c3") } })
        }
    }
}

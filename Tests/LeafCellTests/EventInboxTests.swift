import CellProtocol
import CloudModel
import MessageBus
import TestSupport
import Testing

@testable import Supervisor

@Suite(.timeLimit(.minutes(1))) struct EventInboxTests {
    private static func event(_ sequence: Int) -> SequencedEvent {
        SequencedEvent(cell: path("/c"), sequence: Int64(sequence), event: .cellRemoved(path("/c/gone")))
    }

    @Test("what is more than can be held is let go at once, so that heartbeats behind it are heard")
    func overflow() async throws {
        let inbox = EventInbox()
        let answers = Mutexed<[Disposition]>([])
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 1...EventInbox.limit {
                group.addTask {
                    let answer = await inbox.deliver(Self.event(number))
                    answers.withLock { $0.append(answer) }
                }
            }
            var taken: [EventInbox.Item] = []
            while taken.count < EventInbox.limit { taken += await inbox.take() }
            // They are taken and not yet applied: a gap before them is asked for.
            for number in 1...100 {
                #expect(await inbox.deliver(Self.event(EventInbox.limit + number)) == .acknowledge)
            }
            #expect(answers.withLock { $0 } == [])
            inbox.answer(taken) { $0.sequence <= 150 ? .acknowledge : .retry }
            try await group.waitForAll()
            #expect(answers.withLock { $0.filter { $0 == .acknowledge }.count } == 150)
            // There is room again.
            group.addTask { #expect(await inbox.deliver(Self.event(999)) == .retry) }
            var last: [EventInbox.Item] = []
            while last.isEmpty { last = await inbox.take() }
            #expect(last.map(\.event.sequence) == [999])
            inbox.answer(last) { _ in .retry }
            try await group.waitForAll()
        }
    }

    @Test("what is in hand goes back to the broker when it closes, and what comes later too")
    func closing() async throws {
        let inbox = EventInbox()
        async let first = inbox.deliver(Self.event(1))
        async let second = inbox.deliver(Self.event(2))
        inbox.close()
        let answers = await [first, second]
        #expect(answers == [.retry, .retry])
        #expect(await inbox.deliver(Self.event(3)) == .retry)
        #expect(await inbox.take().isEmpty)
    }
}

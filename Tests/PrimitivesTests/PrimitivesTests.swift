import FoundationEssentials
import Primitives
import Testing

@Suite struct IdentifierTests {
    enum Thing: Sendable {}

    @Test(arguments: ["8f2f8f5e-7a0c-4c5e-9a43-0d6f0c1a2b3c", "8F2F8F5E7A0C4C5E9A430D6F0C1A2B3C"])
    func readsUUIDTextWithAndWithoutDashes(text: String) throws {
        let id = try #require(Identifier<Thing>(text))
        #expect(id.description == "8f2f8f5e-7a0c-4c5e-9a43-0d6f0c1a2b3c")
        #expect(id.hex == "8f2f8f5e7a0c4c5e9a430d6f0c1a2b3c")
    }

    @Test(arguments: [
        "", "x", "8f2f8f5e-7a0c-4c5e-9a43", String(repeating: "-", count: 32), "8f2f8f5e7a0c4c5e9a430d6f0c1a2b3g",
        "8f2f8f5e-7a0c-4c5e-9a43-0d6f0c1a2b3", "8f2f8f5e7-a0c-4c5e-9a43-0d6f0c1a2b3c",
        " f2f8f5e-7a0c-4c5e-9a43-0d6f0c1a2b3c", "8f2f8f5e-7a0c-4c5e-9a43-0d6f0c1a2b3c\0",
    ])
    func refusesEverythingElse(text: String) { #expect(Identifier<Thing>(text) == nil) }

    @Test func areInTheOrderOfTheirTexts() {
        let ids = (0..<100).map { _ in SystemIDSource().next(Thing.self) }
        #expect(ids.sorted().map(\.description) == ids.map(\.description).sorted())
    }
}

@Suite struct SecretTests {
    @Test func isInNoDescription() {
        let secret = Secret("hunter2")
        #expect(!"\(secret)".contains("hunter2"))
        #expect(!String(reflecting: secret).contains("hunter2"))
        #expect(!"\([secret])".contains("hunter2"))
        var dumped = ""
        dump(secret, to: &dumped)
        #expect(!dumped.contains("hunter2"))
        #expect(secret.reveal() == "hunter2")
    }
}

@Suite struct BackoffTests {
    @Test func staysBetweenItsBaseAndItsCap() {
        let backoff = Backoff(base: .milliseconds(100), cap: .seconds(2))
        var random = SystemRandomNumberGenerator()
        for attempt in 0..<64 {
            let delay = backoff.delay(attempt: attempt, using: &random)
            #expect(delay >= .milliseconds(100) && delay <= .seconds(2))
        }
        #expect(backoff.delay(attempt: 0, using: &random) == .milliseconds(100))
    }
}

@Suite(.timeLimit(.minutes(1))) struct BulkheadTests {
    @Test func refusesAtOnceWhenItsQueueIsFull() async throws {
        let bulkhead = Bulkhead(name: "test", limit: 1, waiting: 0)
        try await bulkhead.run {
            _ = await #expect(throws: Bulkhead.Full.self) { try await bulkhead.run {} }
        }
        try await bulkhead.run {}
    }

    @Test func runsNoMoreThanItsLimitAtOnce() async throws {
        let bulkhead = Bulkhead(name: "test", limit: 3, waiting: 100)
        let peak = Peak()
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<50 {
                group.addTask {
                    try await bulkhead.run {
                        await peak.enter()
                        await Task.yield()
                        await peak.leave()
                    }
                }
            }
            try await group.waitForAll()
        }
        #expect(await peak.highest <= 3)
    }

    @Test func waitingEndsWithCancellationAndTheNextGetsThePlace() async throws {
        let bulkhead = Bulkhead(name: "test", limit: 1, waiting: 1)
        try await bulkhead.run {
            await withTaskGroup(of: Bool.self) { group in
                group.addTask { await Self.isCancelled(bulkhead) }
                group.cancelAll()
                #expect(await group.next() == true)
            }
        }
        try await bulkhead.run {}
    }

    private static func isCancelled(_ bulkhead: Bulkhead) async -> Bool {
        do {
            try await bulkhead.run {}
            return false
        } catch {
            return error is CancellationError
        }
    }

    private actor Peak {
        private var running = 0
        private(set) var highest = 0
        func enter() {
            running += 1
            highest = max(highest, running)
        }
        func leave() { running -= 1 }
    }
}

@Suite(.timeLimit(.minutes(2))) struct NudgeTests {
    @Test func remembersASignalThatCameBeforeItsWaiter() async {
        let nudge = Nudge()
        nudge.signal()
        nudge.signal()
        await nudge.wait()
        #expect(Bool(true), "the wait ended")
    }

    @Test func wakesWhenItsTaskIsCancelled() async {
        let nudge = Nudge()
        await withTaskGroup(of: Bool.self) { group in
            group.addTask {
                await nudge.wait()
                return true
            }
            group.cancelAll()
            #expect(await group.next() == true)
        }
    }
}

@Suite struct ErrorChainTests {
    private struct Outer: CausedError {
        let cause: (any Error)?
        var description: String { "could not boot" }
    }
    private struct Inner: Error, CustomStringConvertible { let description = "no disk" }

    @Test func printsEveryCauseOnce() { #expect("\(ErrorChain(Outer(cause: Inner())))" == "could not boot: no disk") }
}

@Suite struct MicrosecondsTests {
    /// Times whose last places fall where a change of epoch would round them another way.
    static let times = (0..<2_000).map { Date(timeIntervalSinceReferenceDate: 817_000_000 + Double($0) * 0.4999997) }

    @Test(arguments: [times]) func oneTimeHasOneNumberHoweverOftenItIsWrittenAndRead(times: [Date]) throws {
        for time in times {
            let read = Date(microseconds: time.microseconds)
            #expect(read.microseconds == time.microseconds && abs(read.timeIntervalSince(time)) < 0.000_001)
            #expect(Timestamp.parse(Timestamp.microseconds(time)) == read)
        }
    }

    @Test func theyCountFrom1970() throws {
        #expect(Date(timeIntervalSince1970: 0).microseconds == 0)
        #expect(Date(microseconds: -1_500_000) == Date(timeIntervalSince1970: -1.5))
        #expect(Timestamp.parse("2026-11-22T10:20:30.0000019Z")?.microseconds == 1_795_342_830_000_001)
        #expect(Date(microseconds: .min) < Date(microseconds: .max) && Date.distantFuture.microseconds > 0)
    }
}

@Suite struct SplitMixTests {
    private struct OneID: IDSource {
        let id: UUID
        func uuid() -> UUID { id }
    }

    @Test func givesTheNumbersThatItGivesEverywhere() {
        var random = SplitMix(seed: 1_234_567)
        #expect(random.next() == 6_457_827_717_110_365_317)
        #expect(random.next() == 3_203_168_211_198_807_973)
        #expect(random.next() == 9_817_491_932_198_370_423)
    }

    @Test func chanceIsThatOfTheIDs() {
        let id = UUID()
        var (first, second, third) = (OneID(id: id).chance(), OneID(id: id).chance(), OneID(id: UUID()).chance())
        let numbers = (0..<4).map { _ in first.next() }
        #expect(numbers == (0..<4).map { _ in second.next() })
        #expect(numbers != (0..<4).map { _ in third.next() })
    }
}

@Suite struct ConcurrentMapTests {
    @Test(arguments: [0, 1, 63, 64, 65, 1000])
    func givesWhatMapGives(count: Int) {
        let numbers = Array(0..<count)
        #expect(numbers.concurrentMap { 2 * $0 } == numbers.map { 2 * $0 })
    }
}

@Suite struct IndentedJSONTests {
    @Test func isWhatJSONEncoderWrites() throws {
        struct Thing: Encodable {
            let inner: [String: [Int]]
            let text: String
        }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        let text = "a \"b\" \\ \u{1} é"
        let expected = try encoder.encode(Thing(inner: ["a": [1, 2]], text: text))
        var writer = JSONWriter(isIndented: true)
        writer.object { writer in
            writer.object("inner") { writer in
                writer.array("a") { writer in
                    writer.element(1)
                    writer.element(2)
                }
            }
            writer.field("text", text)
        }
        #expect(String(decoding: writer.bytes, as: UTF8.self) == String(decoding: expected, as: UTF8.self))
    }
}

import FuzzTargets
import Testing

/// The corpus and what is made of it, through the same entry points as the fuzzer's.
@Suite struct CorpusTests {
    /// Inputs made of the corpus in one test; `deploy/fuzz` makes as many in a blink.
    private static let count = 500

    @Test(arguments: FuzzTarget.allCases)
    func everyInputEnds(_ target: FuzzTarget) throws {
        let inputs = try Corpus.inputs(of: target)
        #expect(inputs.count >= 5)
        for (_, bytes) in inputs { target.run(bytes) }
        target.run([])
    }

    @Test(arguments: FuzzTarget.allCases, 1...6 as ClosedRange<UInt64>)
    func whatIsMadeOfItEndsToo(_ target: FuzzTarget, _ seed: UInt64) throws {
        var mutator = Mutator(seed: seed)
        var pool = try Corpus.inputs(of: target).map(\.1)
        for _ in 0..<Self.count {
            guard let input = pool.randomElement(using: &mutator) else { return }
            let spoilt = mutator.spoil(input, with: pool)
            target.run(spoilt)
            // Some are spoilt again, and more.
            if mutator.next() % 8 == 0, pool.count < 200 { pool.append(spoilt) }
        }
    }
}

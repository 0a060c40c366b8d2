import CloudModel
import FoundationEssentials
import SagaEngine
import ServerLifecycle
import Testing

/// Every step of every saga: repeated, failed, crashed before and after each log write, undone twice. A new saga is in
/// here by being a case of `ServerSaga`.
@Suite(.serialized, .timeLimit(.minutes(10))) struct EverySagaTests {
    @Test(arguments: StoreKind.available) func everyStepOfEverySagaEndsTheSameWhateverGoesWrong(
        kind: StoreKind
    ) async throws {
        var counts: [String: Int] = [:]
        var asked: Set<String> = []
        for saga in ServerSaga.allCases {
            for script in SagaScript.all(of: saga) {
                let (runs, parts) = try await Self.tryAll(script, on: kind)
                for run in runs { counts["\(script.kind) and \(run)", default: 0] += 1 }
                asked.formUnion(parts.map { "\(saga.rawValue) \($0)" })
            }
        }
        let expected = ServerSaga.allCases.flatMap { saga in
            saga.definition.steps.flatMap { step in
                ["\(saga.rawValue) \(step.name)"] + (step.undo == nil ? [] : ["\(saga.rawValue) undo \(step.name)"])
            }
        }
        #expect(Set(expected).isSubset(of: asked), "\(Set(expected).subtracting(asked)) were never asked for")
        let total = counts.values.reduce(0, +)
        #expect(total > 200)
        print("every saga on \(kind): \(total) runs of \(ServerSaga.allCases.count) sagas, nothing left of any")
        for (what, count) in counts.sorted(by: { $0.key < $1.key }) { print("  \(what): \(count)") }
    }

    /// Runs a script with every fault; each run must end as the one without.
    private static func tryAll(
        _ script: SagaScript, on kind: StoreKind
    ) async throws -> (runs: [SagaFault.Kind], parts: Set<SagaHost.Part>) {
        let host = try SagaHost()
        defer { #expect(throws: Never.self) { try host.close() } }
        let runs = try await kind.with(TestWallClock()) { store in
            try await store.join("host-1")
            var trial = SagaTrial(store: store, host: host)
            let plain = try await trial.run(script, SagaFault())
            var faults = [SagaFault(times: 2), SagaFault(times: 2, isForgetful: true)]
            for write in 1...trial.writesOfRun {
                for isAfter in [false, true] { faults.append(SagaFault(crash: (write, isAfter))) }
            }
            for fault in faults {
                do {
                    let ending = try await trial.run(script, fault)
                    #expect(ending == plain, "\(script) with \(fault)")
                } catch {
                    Issue.record(error, "\(script) with \(fault)")
                    throw error
                }
            }
            return [SagaFault.Kind.none] + faults.map(\.kind)
        }
        return (runs, host.asked)
    }
}

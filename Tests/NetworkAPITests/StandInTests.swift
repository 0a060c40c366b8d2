import APITestSupport
import Testing

@Suite struct StandInTests {
    @Test(arguments: NetworkContract.cases)
    func theStandInKeepsTheContract(of test: NetworkContract.Case) async throws {
        try await test.run(InMemoryNetworkStore(ids: CountingIDs()))
    }
}

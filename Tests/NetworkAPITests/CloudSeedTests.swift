import APITestSupport
import CloudModel
import Foundation
import Testing

@Suite struct CloudSeedTests {
    private static let text = """
        {"flavors": [{"name": "m1.tiny", "vcpus": 1, "memoryMiB": 256, "diskGiB": 1}],
         "networks": [{"name": "private", "cidr": "10.20.0.0/16", "gateway": "10.20.0.1", "dns": ["9.9.9.9"], "shared": true}]}
        """

    @Test func aSeedIsAppliedOnce() async throws {
        let bench = NetworkBench()
        let flavors = InMemoryFlavorStore()
        let seed = try JSONDecoder().decode(CloudSeed.self, from: Data(Self.text.utf8))
        func apply() async throws -> [String] {
            try await seed.apply(
                flavors: flavors, networks: bench.store, owner: Person.rootsProject, ids: bench.ids,
                now: bench.clock.now())
        }
        #expect(
            try await apply() == [
                "flavor m1.tiny created", "network private created", "subnet private-subnet created",
            ])
        #expect(try await apply() == [])
        #expect(try await flavors.find(id: "m1.tiny")?.flavor.memoryMiB == 256)
        #expect(try await bench.api.get(bench.path("networks"), as: .bob).names("networks") == ["private"])
    }

    @Test func whatDiffersIsSaidAndLeft() async throws {
        let bench = NetworkBench()
        let flavors = InMemoryFlavorStore()
        var seed = try JSONDecoder().decode(CloudSeed.self, from: Data(Self.text.utf8))
        func apply(_ seed: CloudSeed) async throws -> [String] {
            try await seed.apply(
                flavors: flavors, networks: bench.store, owner: Person.rootsProject, ids: bench.ids,
                now: bench.clock.now())
        }
        _ = try await apply(seed)
        seed.flavors[0].memoryMiB = 512
        await #expect(throws: CloudSeedError.self) { try await apply(seed) }
        seed.flavors = []
        seed.networks[0].cidr = "10.30.0.0/16"
        seed.networks[0].gateway = nil
        await #expect(throws: CloudSeedError.self) { try await apply(seed) }
        seed.networks[0].cidr = "10.30.0.1/16"
        await #expect(throws: CloudSeedError.self) { try await apply(seed) }
    }
}

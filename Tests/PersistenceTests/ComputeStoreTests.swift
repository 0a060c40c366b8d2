import APITestSupport
import CloudModel
import FoundationEssentials
import Persistence
import PostgresClient
import Primitives
import TestSupport
import Testing

@Suite(.enabled(if: PrivatePostgres.isInstalled, Comment(rawValue: PrivatePostgres.missing)), .timeLimit(.minutes(5)))
struct ComputeStoreTests {
    private static let now = ManualWallClock.start

    private func store() async throws -> (PostgresComputeStore, PostgresPool) {
        let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        try await Migrator(pool).migrate(ComputeSchema.migrations, schemaName: ComputeSchema.name)
        return (PostgresComputeStore(pool: pool), pool)
    }

    @Test func flavorsAreKept() async throws {
        let (store, pool) = try await store()
        let flavor = Flavor(id: "1", name: "tiny", vcpus: 1, memoryMiB: 64, diskGiB: 1)
        let record = FlavorRecord(flavor: flavor, createdAt: Self.now)
        try await store.insert(record)
        #expect(try await store.find(id: "1") == record)
        var other = record
        other.flavor.id = "2"
        let sameName = other
        await #expect(throws: FlavorStoreError.nameTaken) { try await store.insert(sameName) }
        other.flavor = Flavor(id: "1", name: "other", vcpus: 1, memoryMiB: 64, diskGiB: 1)
        let sameID = other
        await #expect(throws: FlavorStoreError.idTaken) { try await store.insert(sameID) }
        #expect(try await store.setDescription("d", of: "1")?.flavor.description == "d")
        let changed = try await store.changeExtraSpecs(of: "1", setting: ["a": "1", "b": "2"], removing: [])
        #expect(changed?.flavor.extraSpecs == ["a": "1", "b": "2"])
        #expect(
            try await store.changeExtraSpecs(of: "1", setting: [:], removing: ["a"])?.flavor.extraSpecs == ["b": "2"])
        try await store.grantAccess(to: "p", of: "1")
        await #expect(throws: FlavorStoreError.accessExists) { try await store.grantAccess(to: "p", of: "1") }
        #expect(try await store.all().map(\.projects) == [["p"]])
        try await store.revokeAccess(of: "p", to: "1")
        await #expect(throws: FlavorStoreError.accessMissing) { try await store.revokeAccess(of: "p", to: "1") }
        #expect(try await store.delete(id: "1"))
        #expect(try await store.delete(id: "1") == false)
        #expect(try await store.setDescription("d", of: "1") == nil)
        await pool.close()
    }

    @Test func keyPairsAreKept() async throws {
        let (store, pool) = try await store()
        func pair(_ name: String, of user: UserID = "u") -> KeyPair {
            KeyPair(
                userID: user, name: name, kind: .ssh, publicKey: "k", fingerprint: "f", createdAt: Self.now)
        }
        let first = try await store.insert(pair("b"), limit: 2)
        #expect(first.id > 0)
        #expect(try await store.find("b", of: "u") == first)
        await #expect(throws: KeyPairExists.self) { try await store.insert(pair("b"), limit: 2) }
        _ = try await store.insert(pair("a"), limit: 2)
        await #expect(throws: QuotaExceeded(resource: "key_pairs", requested: 1, used: 2, limit: 2)) {
            try await store.insert(pair("c"), limit: 2)
        }
        _ = try await store.insert(pair("b", of: "v"), limit: 2)
        #expect(try await store.all(of: "u").map(\.name) == ["a", "b"])
        #expect(try await store.delete("b", of: "u"))
        #expect(try await store.delete("b", of: "u") == false)
        #expect(try await store.find("b", of: "v") != nil)
        await pool.close()
    }

    @Test(arguments: ComputeQuotaContract.cases)
    func postgresKeepsQuotas(of test: ComputeQuotaContract.Case) async throws {
        let (store, pool) = try await store()
        try await test.run(store)
        await pool.close()
    }

    @Test func actionsAreKept() async throws {
        let (store, pool) = try await store()
        let server = ServerID(CountingIDs().uuid())
        let actions = ["create", "stop"].map { name in
            InstanceActionRecord(
                serverID: server, action: name, requestID: "req-\(name)", userID: "u", projectID: "p",
                startedAt: Self.now)
        }
        try await store.record(actions)
        #expect(try await store.actions(of: server) == actions.reversed())
        await pool.close()
    }

    @Test func aSeedIsAppliedOnce() async throws {
        let pool = PostgresPool(try await PrivatePostgres.shared().createDatabase())
        _ = try await CellSchemas.migrate(pool, .root)
        let ids = CountingIDs()
        let seed = CloudSeed(
            flavors: [.init(name: "tiny", vcpus: 1, memoryMiB: 64, diskGiB: 1)],
            networks: [.init(name: "private", cidr: "10.0.0.0/24", shared: true)])
        let networks = PostgresNetworkStore(pool: pool, ids: ids)
        let flavors = PostgresComputeStore(pool: pool)
        let first = try await seed.apply(flavors: flavors, networks: networks, owner: "p", ids: ids, now: Self.now)
        #expect(first.count == 3)
        let second = try await seed.apply(flavors: flavors, networks: networks, owner: "p", ids: ids, now: Self.now)
        #expect(second.isEmpty)
        await pool.close()
    }
}

import APITestSupport
import CloudModel
import NetworkAPI
import Primitives
import Testing

/// The network service over memory, and the steps that tests share.
struct NetworkBench {
    static let base = "/network/v2.0"

    let ids = CountingIDs()
    let clock = ManualWallClock()
    let store: InMemoryNetworkStore
    let service: NetworkService
    let api: APIConversation

    init() {
        store = InMemoryNetworkStore(ids: ids)
        service = NetworkService(
            NetworkDependencies(store: store, tokens: PeopleTokens(), ids: ids, wallClock: clock))
        api = APIConversation([service], ids: ids)
    }

    func path(_ rest: String) -> String { "\(Self.base)/\(rest)" }

    func network(_ name: String, shared: Bool = false, as person: Person = .ann) async throws -> String {
        var members: [String: JSONValue] = ["name": .string(name)]
        if shared { members["shared"] = true }
        let answer = try await api.post(path("networks"), ["network": .object(members)], as: person)
        #expect(answer.status == 201)
        return try #require(answer["network", "id"]?.string)
    }

    func subnet(_ cidr: String, on network: String, as person: Person = .ann) async throws -> String {
        let answer = try await api.post(
            path("subnets"),
            ["subnet": ["network_id": .string(network), "ip_version": 4, "cidr": .string(cidr)]], as: person)
        #expect(answer.status == 201)
        return try #require(answer["subnet", "id"]?.string)
    }

    func port(_ members: [String: JSONValue], as person: Person = .ann) async throws -> Answer {
        try await api.post(path("ports"), ["port": .object(members)], as: person)
    }
}

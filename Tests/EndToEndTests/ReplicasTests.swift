import CloudHarness
import Deployer
import FoundationEssentials
import Glibc
import Primitives
import Synchronization
import TestSupport
import Testing

/// Two of everything: each replica is killed in turn, and kept away for a while, under a load of clients that try again as
/// clients do. No operation fails.
///
/// A cloud of its own.
@Suite(.serialized, .enabled(if: TestCloud.missing == nil, "\(TestCloud.missing ?? "")"), .timeLimit(.minutes(15)))
struct ReplicasTests {
    private static let limit = Duration.seconds(90)
    private static let workers = 3
    /// Operations that each worker ends while a replica is away.
    private static let operations = 2

    @Test(.timeLimit(.minutes(10))) func eachIsKilledInTurnUnderLoadAndNoOperationFails() async throws {
        let cloud = try await TestCloud.start(arguments: ["--replicas", "2"])
        do {
            try await killEachInTurn(cloud.ready)
        } catch {
            await cloud.end()
            throw error
        }
        await cloud.end()
    }

    private func killEachInTurn(_ ready: DevReady) async throws {
        let session = try await CloudSession.open(CloudLogin(cloud: "cellwright-admin", file: ready.cloudsFile))
        let users = BalancedClient(
            urls: ready.processes.filter { $0.name == "api" || $0.name.hasPrefix("api@") }.compactMap(\.ops),
            token: try #require(session.compute.headers["x-auth-token"]))
        try #require(users.count == 2)
        // Until the root hears of it, a deleted server counts.
        try await session.compute.expect(
            200, from: .put, "/os-quota-sets/\(session.projectID)",
            ["quota_set": ["instances": 100, "cores": 100, "ram": 102_400]])
        let load = try await ReplicaLoad(users)
        let victims = ["api", "supervisor-root", "supervisor-north", "conductor-north", "supervisor-south"]
            .flatMap { [$0, "\($0)@2"] }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for worker in 0..<Self.workers { group.addTask { await load.work(worker) } }
            group.addTask { await load.list() }
            group.addTask {
                defer { load.stop() }
                try await load.awaitProgress(Self.operations, "before anything is killed", Self.limit)
                for victim in victims { try await kill(victim, in: ready, load) }
            }
            try await group.waitForAll()
        }
        let outcome = load.outcome
        print(
            "replicas: \(victims.count) killed, \(outcome.servers) servers made and deleted, \(outcome.lists) lists, "
                + "\(users.repeats) requests repeated, \(outcome.failures.count) operations failed")
        #expect(outcome.failures == [])
        #expect(outcome.servers >= Self.workers * Self.operations * victims.count)
        // Servers whose orders were repeated because their answers were lost.
        try await until("none is left", within: Self.limit) {
            let left = try await session.compute.get("/servers/detail").list("servers")
            for server in left where server["status"] == "ACTIVE" && server["OS-EXT-STS:task_state"] == .null {
                _ = try await session.compute.send(.delete, "/servers/\(try server.text("id"))")
            }
            return left.isEmpty
        }
    }

    /// Kills a replica, keeps it away while the load goes on, and waits until it is back.
    private func kill(_ victim: String, in ready: DevReady, _ load: ReplicaLoad) async throws {
        let hold = "\(ready.holdFolder)/\(victim)"
        try #require(FileManager.default.createFile(atPath: hold, contents: nil))
        let pid = try #require(try ready.pid(of: victim))
        #expect(Glibc.kill(pid, SIGKILL) == 0)
        try await load.awaitProgress(Self.operations, "while \(victim) is away", Self.limit)
        try #require(try ready.pid(of: victim) == nil, "it was away all the time")
        try FileManager.default.removeItem(atPath: hold)
        let health = APIClient(url: try #require(try ready.process(victim).ops))
        try await until("\(victim) is back", within: Self.limit) {
            do {
                return try await health.send(.get, "/healthz").status == 200
            } catch {
                return false  // not yet
            }
        }
    }
}

/// A client behind a balancer: requests go to the replicas by turns; one that can't be reached, or says that it can't serve
/// now, is tried again, at the other.
private final class BalancedClient: Sendable {
    private static let tries = 6
    private static let pause = Duration.milliseconds(300)

    private let clients: [APIClient]
    private let next = Atomic<Int>(0)
    private let repeated = Atomic<Int>(0)

    init(urls: [String], token: String) {
        let headers = ["x-auth-token": token, "openstack-api-version": "compute 2.90"]
        clients = urls.map { APIClient(url: $0, headers: headers, isImpatient: true) }
    }

    var count: Int { clients.count }
    var repeats: Int { repeated.load(ordering: .relaxed) }

    func send(_ method: APIClient.Method, _ path: String, _ body: JSONValue? = nil) async throws -> APIAnswer {
        var last: any Error = HarnessFailure("never tried")
        let turn = next.add(1, ordering: .relaxed).oldValue
        for attempt in 0..<Self.tries {
            if attempt > 0 {
                repeated.add(1, ordering: .relaxed)
                try await ContinuousClock().sleep(for: Self.pause)
            }
            do {
                let answer = try await clients[(turn + attempt) % clients.count].send(method, path, body)
                guard [502, 503, 504].contains(answer.status) else { return answer }
                last = UnexpectedAnswer(request: "\(method) \(path)", answer: answer)
            } catch {
                last = error
            }
        }
        throw last
    }
}

/// Servers that are made and deleted, and lists, until it is told to stop.
private final class ReplicaLoad: Sendable {
    struct Outcome: Sendable {
        var servers = 0
        var lists = 0
        var failures: [String] = []
        /// Operations of each worker.
        var done: [Int: Int] = [:]
        var isStopping = false
    }

    private static let bootLimit = Duration.seconds(60)
    private static let poll = Duration.milliseconds(100)

    private let users: BalancedClient
    private let order: JSONValue
    private let state = Mutex(Outcome())

    init(_ users: BalancedClient) async throws {
        self.users = users
        func first(_ path: String, _ key: String, _ name: String) async throws -> String {
            let list = try await users.send(.get, path).json().list(key)
            guard let id = try list.first(where: { $0["name"]?.string == name })?.text("id") else {
                throw MissingMember(path: name, document: .array(list))
            }
            return id
        }
        let image = try await users.send(
            .post, "/image/v2/images",
            ["name": "of the load", "disk_format": "raw", "container_format": "bare", "visibility": "public"])
        let imageID = try image.json().text("id")
        order = [
            "server": [
                "name": "load", "imageRef": .string(imageID),
                "flavorRef": .string(try await first("/compute/v2.1/flavors", "flavors", "m1.nano")),
                "networks": "none",
            ]
        ]
        try await upload(imageID)
    }

    private func upload(_ id: String) async throws {
        let answer = try await users.upload(TinyImage.bytes, "/image/v2/images/\(id)/file")
        guard answer.status == 204 else { throw UnexpectedAnswer(request: "upload", answer: answer) }
    }

    var outcome: Outcome { state.withLock { $0 } }

    func stop() { state.withLock { $0.isStopping = true } }

    private var isStopping: Bool { state.withLock(\.isStopping) }

    /// Waits until every worker has begun and ended so many operations from now on.
    func awaitProgress(_ operations: Int, _ what: String, _ limit: Duration) async throws {
        let before = outcome.done
        // The one that is under way counts for what was before.
        try await until("\(operations) operations \(what)", within: limit) {
            let now = outcome
            if let failure = now.failures.first { throw HarnessFailure("\(what): \(failure)") }
            return (0..<ReplicasTests.workerCount).allSatisfy {
                now.done[$0, default: 0] > before[$0, default: 0] + operations
            }
        }
    }

    func work(_ worker: Int) async {
        while !isStopping {
            do {
                try await serverLife()
                state.withLock {
                    $0.servers += 1
                    $0.done[worker, default: 0] += 1
                }
            } catch {
                state.withLock { $0.failures.append("\(error)") }
            }
        }
    }

    func list() async {
        while !isStopping {
            do {
                try await expect(200, .get, "/servers/detail")
                state.withLock { $0.lists += 1 }
                try await ContinuousClock().sleep(for: Self.poll)
            } catch {
                state.withLock { $0.failures.append("list: \(error)") }
            }
        }
    }

    private func serverLife() async throws {
        let id = try await expect(202, .post, "/servers", order).text("server.id")
        try await poll("\(id) is ACTIVE") {
            let server = try await self.expect(200, .get, "/servers/\(id)")
            let status = try server.text("server.status")
            guard status != "ERROR" else { throw MissingMember(path: "ACTIVE", document: server) }
            return status == "ACTIVE"
        }
        try await expect(204, .delete, "/servers/\(id)")
        try await poll("\(id) is gone") {
            try await self.users.send(.get, "/compute/v2.1/servers/\(id)").status == 404
        }
    }

    @discardableResult
    private func expect(
        _ status: Int, _ method: APIClient.Method, _ path: String, _ body: JSONValue? = nil
    ) async throws -> JSONValue {
        let answer = try await users.send(method, "/compute/v2.1\(path)", body)
        // A delete that was repeated because its answer was lost.
        if method == .delete, answer.status == 404 { return .null }
        guard answer.status == status else { throw UnexpectedAnswer(request: "\(method) \(path)", answer: answer) }
        return answer.body.isEmpty ? .null : try answer.json()
    }

    private func poll(_ what: String, _ condition: () async throws -> Bool) async throws {
        let clock = ContinuousClock()
        let end = clock.now + Self.bootLimit
        while try await !condition() {
            guard clock.now < end else { throw HarnessFailure("not within \(Self.bootLimit): \(what)") }
            try await clock.sleep(for: Self.poll)
        }
    }
}

extension BalancedClient {
    fileprivate func upload(_ bytes: [UInt8], _ path: String) async throws -> APIAnswer {
        try await clients[0].send(.put, path, bytes: bytes, type: "application/octet-stream")
    }
}

extension ReplicasTests {
    fileprivate static var workerCount: Int { workers }
}

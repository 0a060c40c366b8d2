import CloudHarness
import Deployer
import FoundationEssentials
import Primitives
import Synchronization
import TestSupport

/// Lives of servers, one after the other by several workers, as far as a gate lets them: create, sometimes stop, delete; and
/// lists beside them. Every answer goes to the ledger.
final class FaultLoad: Sendable {
    /// Lives at once.
    private static let workers = 6
    /// Any request of a life ends within this, whatever falls.
    private static let limit = Duration.seconds(120)
    private static let keptOneIn = 8
    private static let poll = Duration.milliseconds(250)
    private static let pause = Duration.milliseconds(200)

    let ready: DevReady
    let ledger = FaultLedger()
    let session: CloudSession
    private let compute: APIClient
    private let order: [String: JSONValue]
    private let seed: UInt64
    private struct Gate {
        var allowed = 0
        var begun = 0
        var ended = 0
        var isClosed = false
    }
    private let gate = Mutex(Gate())

    init(_ ready: DevReady, seed: UInt64) async throws {
        self.ready = ready
        self.seed = seed
        session = try await CloudSession.open(CloudLogin(cloud: "cellwright-admin", file: ready.cloudsFile))
        order = try await TinyOrder.prepare(in: session, image: "tiny-faults")
        // Records of cells that are down are partial from 2.69 on, and left out before.
        compute = APIClient(
            url: session.compute.url,
            headers: session.compute.headers.merging(["openstack-api-version": "compute 2.90"]) { $1 },
            isImpatient: true)
    }

    // MARK: The gate

    /// Lets lives begin until so many have.
    func open(upTo lives: Int) { gate.withLock { $0.allowed = max($0.allowed, lives) } }

    /// Those that have begun end; then ``run()`` returns.
    func close() { gate.withLock { $0.isClosed = true } }

    /// Lives whose server was accepted, or that ended.
    var begun: Int { gate.withLock { $0.begun } }

    private func enter() async throws -> Int? {
        while true {
            let (number, isOver) = gate.withLock { gate -> (Int?, Bool) in
                guard gate.begun < gate.allowed else { return (nil, gate.isClosed) }
                gate.begun += 1
                return (gate.begun, false)
            }
            if let number { return number }
            if isOver { return nil }
            try await ContinuousClock().sleep(for: Self.pause)
        }
    }

    /// Until the gate is closed and every life has ended.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<Self.workers {
                group.addTask { while let number = try await self.enter() { try await self.live(number) } }
            }
            try await group.waitForAll()
        }
    }

    /// Lists until cancelled.
    func list() async throws {
        while !Task.isCancelled {
            _ = try await statuses()
            try await ContinuousClock().sleep(for: Self.poll)
        }
    }

    // MARK: A life

    private func live(_ number: Int) async throws {
        var random = SeededRandom(seed: seed &* 1_000_003 &+ UInt64(number))
        let zone: String? = [nil, "north", "south"].randomElement(using: &random) ?? nil
        let id = try await create("life-\(number)", zone: zone)
        if Int.random(in: 0..<5, using: &random) > 0 {
            let status = try await awaitEnd(id)
            if status == "ACTIVE", Int.random(in: 0..<3, using: &random) == 0 { try await stop(id) }
        }
        // Some stay, to be looked at in the end.
        guard number % Self.keptOneIn > 0 else { return }
        try await delete(id)
        if Bool.random(using: &random) { _ = try await follow(id, "gone") { _ in false } }
    }

    /// Asks until it is accepted, as clients do that get no answer.
    func create(_ name: String, zone: String?) async throws -> String {
        var server = order
        server["name"] = .string(name)
        if let zone { server["availability_zone"] = .string(zone) }
        let (answer, _) = try await ask(.post, "/servers", ["server": .object(server)])
        guard answer.status == 202 else {
            throw HarnessFailure("a create is answered \(answer.status): \(answer.text.prefix(300))")
        }
        let id = try answer.json().text("server.id")
        ledger.accepted(id, name)
        return id
    }

    /// Waits until it is ACTIVE, with a guest, or in ERROR.
    @discardableResult
    func awaitEnd(_ id: String) async throws -> String {
        let server = try await follow(id, "ACTIVE or ERROR") { $0 == "ACTIVE" || $0 == "ERROR" }
        guard let status = server?["status"]?.string else { return "none" }
        if status == "ACTIVE" {
            ledger.count { $0.active += 1 }
            expectGuest(of: id, at: server?["OS-EXT-SRV-ATTR:host"]?.string, isRunning: true)
        } else {
            ledger.count { $0.errors += 1 }
        }
        return status
    }

    private func stop(_ id: String) async throws {
        let (answer, isRepeat) = try await ask(.post, "/servers/\(id)/action", ["os-stop": .null])
        switch answer.status {
        case 202: ledger.count { $0.stops += 1 }
        // Carried out by a request without an answer.
        case 409 where isRepeat: break
        default: return ledger.report("stop of \(id), which is ACTIVE, is answered \(answer.status) \(answer.text)")
        }
        let server = try await follow(id, "SHUTOFF, ERROR or ACTIVE again") {
            $0 == "SHUTOFF" || $0 == "ERROR" || $0 == "ACTIVE"
        }
        switch server?["status"]?.string {
        case "SHUTOFF": ledger.count { $0.stopped += 1 }
        // The host could not do it, a full disk for instance: then the server's actions say so.
        case "ACTIVE":
            ledger.count { $0.unstopped += 1 }
            guard try await hasFailed("stop", id) else { return ledger.report("a stop of \(id) came to nothing") }
        default: return
        }
        let isRunning = server?["status"] == "ACTIVE"
        expectGuest(of: id, at: server?["OS-EXT-SRV-ATTR:host"]?.string, isRunning: isRunning)
    }

    /// What the server's actions say of the last one of that name.
    private func hasFailed(_ action: String, _ id: String) async throws -> Bool {
        let (answer, _) = try await ask(.get, "/servers/\(id)/os-instance-actions")
        let actions = try answer.json().list("instanceActions")
        return actions.first { $0["action"]?.string == action }?["message"]?.string != nil
    }

    func delete(_ id: String) async throws {
        ledger.deleteIsAsked(id)
        let (answer, isRepeat) = try await ask(.delete, "/servers/\(id)")
        switch answer.status {
        case 204: ledger.count { $0.deletes += 1 }
        case 404 where isRepeat: break
        default: ledger.report("delete of \(id) is answered \(answer.status) \(answer.text)")
        }
    }

    /// Nil when it is gone.
    private func follow(_ id: String, _ what: String, _ isEnd: (String) -> Bool) async throws -> JSONValue? {
        let end = ContinuousClock.now + Self.limit
        var last = "no answer"
        while ContinuousClock.now < end {
            let expected = ledger.expectation()
            if let answer = try await answered(.get, "/servers/\(id)") {
                switch answer.status {
                case 404:
                    ledger.take(show: id, nil, expected)
                    return nil
                case 200:
                    let server = try answer.json()["server"] ?? .null
                    ledger.take(show: id, server, expected)
                    last = "\(server["status"]?.string ?? "-") \(server["OS-EXT-STS:task_state"]?.string ?? "-")"
                    if let status = server["status"]?.string, isEnd(status),
                        server["OS-EXT-STS:task_state"] == .null
                    {
                        return server
                    }
                default: ledger.report("show of \(id) is answered \(answer.status) \(answer.text)")
                }
            }
            try await ContinuousClock().sleep(for: Self.poll)
        }
        ledger.report("\(id) is not \(what) after \(Self.limit): \(last)")
        return nil
    }

    /// What the API says of a guest is what its host has.
    private func expectGuest(of id: String, at host: String?, isRunning: Bool) {
        guard let host else { return ledger.report("\(id) has no host") }
        do {
            guard let guest = try FaultInvariants.guest(id, at: host, in: ready) else {
                return ledger.report("\(id) is there and has no guest on \(host)")
            }
            if guest != isRunning { ledger.report("\(id): the guest on \(host) \(guest ? "runs" : "does not run")") }
        } catch {
            ledger.report("the guest of \(id) can't be read: \(error)")
        }
    }

    // MARK: Requests

    /// Status by id as the API lists them; nil when it gave no answer.
    func statuses() async throws -> [String: String]? {
        let expected = ledger.expectation()
        guard let answer = try await answered(.get, "/servers/detail?limit=1000") else { return nil }
        guard answer.status == 200 else {
            ledger.report("a list is answered \(answer.status) \(answer.text)")
            return nil
        }
        var statuses: [String: String] = [:]
        for server in try answer.json().list("servers") { statuses[try server.text("id")] = try server.text("status") }
        ledger.take(
            list: statuses, isPartial: answer.header("x-cellwright-incomplete") != nil, expected)
        return statuses
    }

    /// Asks until there is an answer that is no 5xx.
    /// - Returns: the answer, and whether the request was sent before.
    private func ask(
        _ method: APIClient.Method, _ path: String, _ body: JSONValue? = nil
    ) async throws -> (APIAnswer, isRepeat: Bool) {
        let end = ContinuousClock.now + Self.limit
        var isRepeat = false
        while ContinuousClock.now < end {
            if let answer = try await answered(method, path, body) { return (answer, isRepeat) }
            isRepeat = true
            try await ContinuousClock().sleep(for: Self.pause)
        }
        throw HarnessFailure("\(method) \(path) is not answered within \(Self.limit)")
    }

    /// Nil, and counted, when there was no answer or the cloud said that it can't now.
    private func answered(
        _ method: APIClient.Method, _ path: String, _ body: JSONValue? = nil
    ) async throws -> APIAnswer? {
        do {
            let answer = try await compute.send(method, path, body)
            guard answer.status >= 500 else { return answer }
        } catch {
            try Task.checkCancellation()
        }
        ledger.count { $0.unanswered += 1 }
        return nil
    }
}

import CloudHarness
import Deployer
import Foundation
import PostgresClient
import Primitives
import Synchronization
import TestSupport

/// Creates and deletes servers all the time, and remembers what was accepted: each must end as it was asked for.
final class Load: Sendable {
    struct Counts: Sendable {
        /// Creates answered 202.
        var accepted = 0
        /// Deletes answered 204.
        var deleted = 0
        /// Requests answered 5xx, or not at all: they may have been carried out or not.
        var refused = 0
    }

    /// Requests in flight at once.
    private static let workers = 4
    /// Servers that stand at once, before the oldest is deleted.
    private static let standing = 12

    let ready: DevReady
    private let session: CloudSession
    private let order: [String: JSONValue]
    private struct State {
        var counts = Counts()
        var isStopped = false
        var number = 0
        /// Accepted, oldest first, and not asked to be deleted.
        var wanted: [String] = []
        /// Delete accepted.
        var unwanted: Set<String> = []
    }
    private let state = Mutex(State())

    init(_ ready: DevReady) async throws {
        self.ready = ready
        let session = try await CloudSession.open(CloudLogin(cloud: "cellwright-admin", file: ready.cloudsFile))
        self.session = session
        order = try await TinyOrder.prepare(in: session, image: "tiny-load")
    }

    var counts: Counts { state.withLock { $0.counts } }
    var isStopped: Bool { state.withLock { $0.isStopped } }
    func stop() { state.withLock { $0.isStopped = true } }

    // MARK: Load

    /// Creates, and deletes what has stood long enough, until told to stop.
    func run(until isOver: @escaping @Sendable () -> Bool) async throws {
        state.withLock { $0.isStopped = false }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for _ in 0..<Self.workers {
                group.addTask { [self] in
                    while !isOver() {
                        try await step()
                        try await ContinuousClock().sleep(for: .milliseconds(50))
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    private func step() async throws {
        let old = state.withLock { state in state.wanted.count > Self.standing ? state.wanted.removeFirst() : nil }
        if let old {
            try await delete(old)
        } else {
            _ = try await answered { try await self.create() }
        }
    }

    /// - Throws: when it is not accepted.
    @discardableResult
    func create(zone: String? = nil) async throws -> String {
        let number = state.withLock { state in
            state.number += 1
            return state.number
        }
        var server = order
        server["name"] = .string("load-\(number)")
        if let zone { server["availability_zone"] = .string(zone) }
        let answer = try await session.compute.send(.post, "/servers", ["server": .object(server)])
        guard answer.status == 202 else { throw UnexpectedAnswer(request: "POST /servers", answer: answer) }
        let id = try answer.json().text("server.id")
        state.withLock { state in
            state.counts.accepted += 1
            state.wanted.append(id)
        }
        return id
    }

    /// Asks until it is accepted, as clients do that get no answer.
    func delete(_ id: String) async throws {
        while true {
            let status = try await answered { try await self.session.compute.send(.delete, "/servers/\(id)").status }
            if status == 204 || status == 404 { break }
            if let status, status < 500 { throw HarnessFailure("DELETE \(id) is answered \(status)") }
            try await ContinuousClock().sleep(for: .milliseconds(200))
        }
        state.withLock { state in
            state.counts.deleted += 1
            state.wanted.removeAll { $0 == id }
            state.unwanted.insert(id)
        }
    }

    /// Nil, and counted, when there was no answer or the cloud said that it can't now.
    private func answered<Result>(_ body: () async throws -> Result) async throws -> Result? {
        do {
            return try await body()
        } catch let error as UnexpectedAnswer where error.answer.status < 500 {
            throw error
        } catch is CancellationError {
            throw CancellationError()
        } catch {
            state.withLock { $0.counts.refused += 1 }
            return nil
        }
    }

    // MARK: What must be true

    /// Waits until every server that was accepted runs, and every one that was to go is gone, with everything of it.
    func settle(within limit: Duration) async throws {
        let (wanted, unwanted) = state.withLock { ($0.wanted, $0.unwanted) }
        try await until("all is as it was asked for", within: limit) {
            let statuses = try await statuses()
            let failed = wanted.filter { statuses[$0] == "ERROR" }
            if let first = failed.first {
                let fault = try await session.compute.get("/servers/\(first)")["server"]?["fault"] ?? .null
                throw HarnessFailure("accepted and in ERROR: \(failed.count), such as \(first): \(fault.text)")
            }
            return wanted.allSatisfy { statuses[$0] == "ACTIVE" } && unwanted.isDisjoint(with: statuses.keys)
        }
        try await expectNothingLeft(of: Array(unwanted), within: limit)
    }

    /// Deletes all, what was made by requests without an answer too, and waits until nothing is left.
    func finish(within limit: Duration) async throws {
        for id in try await statuses().keys.sorted() { try await delete(id) }
        try await settle(within: limit)
    }

    func status(of id: String) async throws -> String? { try await statuses()[id] }

    private func statuses() async throws -> [String: String] {
        var statuses: [String: String] = [:]
        let answer = try await session.compute.send(.get, "/servers/detail?limit=1000")
        guard answer.status == 200 else { return ["-": "no answer"] }
        for server in try answer.json().list("servers") { statuses[try server.text("id")] = try server.text("status") }
        return statuses
    }

    private func expectNothingLeft(of servers: [String], within limit: Duration) async throws {
        var left: [String] = []
        do {
            try await until("nothing is left of \(servers.count) servers", within: limit) {
                left = try await Remains.find(servers, in: ready)
                return left.isEmpty
            }
        } catch let failure as HarnessFailure {
            throw HarnessFailure("\(failure); left are \(left.prefix(20))")
        }
    }

    func database(_ cell: DevReady.Cell) async throws -> PostgresPool {
        try SharedCloud.database(of: cell, on: ready.database)
    }
}

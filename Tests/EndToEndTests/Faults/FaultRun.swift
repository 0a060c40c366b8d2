import CloudHarness
import Deployer
import Foundation
import Primitives

/// Lives of servers on a cloud while faults befall it, and what is true afterwards.
struct FaultRun: Sendable {
    struct Plan: Sendable {
        var seed: UInt64
        /// Servers that are made, those apart that measure recoveries.
        var servers: Int
        var faults: Int
        /// That anything is frozen, a clock is wrong, a disk full.
        var longest: Duration
    }

    /// Until the cloud works again after a volley, and until it has come to rest.
    private static let limit = Duration.seconds(120)
    /// What is left on hosts is proved to be dead after two minutes, and looked for once a minute.
    private static let restLimit = Duration.seconds(300)

    let plan: Plan
    let ready: DevReady
    let load: FaultLoad
    private let images: FaultImages
    private let schedule: FaultSchedule
    private let injector: FaultInjector
    private let invariants: FaultInvariants

    /// - Parameters:
    ///   - clocks: of the cloud's processes.
    ///   - disks: of the cloud; without them none is filled.
    init(_ plan: Plan, on ready: DevReady, _ clocks: MovedClocks, _ disks: SmallDisks?) async throws {
        self.plan = plan
        self.ready = ready
        load = try await FaultLoad(ready, seed: plan.seed)
        images = FaultImages(load.session, seed: plan.seed)
        schedule = FaultSchedule(
            seed: plan.seed, faults: plan.faults, longest: plan.longest, fillsDisks: disks != nil)
        injector = FaultInjector(ready: ready, clocks: clocks, disks: disks)
        invariants = FaultInvariants(ready: ready)
    }

    /// What was found wrong; a report is printed.
    func run() async throws -> [String] {
        let start = ContinuousClock.now
        let queues = try await queues()
        let recoveries = try await withThrowingTaskGroup(of: [(Duration, String)].self) { group in
            group.addTask {
                try await load.run()
                return []
            }
            group.addTask {
                try await load.list()
                return []
            }
            group.addTask {
                try await images.upload()
                return []
            }
            group.addTask {
                defer { load.close() }
                return try await self.befall()
            }
            var recoveries: [(Duration, String)] = []
            // The lists and the uploads end with the others.
            for _ in 0..<2 { recoveries += try await group.next() ?? [] }
            group.cancelAll()
            return recoveries
        }
        let rest = ContinuousClock.now
        var wrongs = try await images.wrongs()
        wrongs += try await settle(queues)
        wrongs = load.ledger.lies + wrongs
        report(recoveries, wrongs, faulted: rest - start, settled: ContinuousClock.now - rest)
        return wrongs
    }

    // MARK: Faults

    /// - Returns: how long the cloud took to work again after each volley, and what that was.
    private func befall() async throws -> [(Duration, String)] {
        var recoveries: [(Duration, String)] = []
        for (index, volley) in schedule.volleys.enumerated() {
            let lives = plan.servers * (index + 1) / schedule.volleys.count
            load.open(upTo: lives)
            let ends = try await withThrowingTaskGroup(of: ContinuousClock.Instant.self) { group in
                for fault in volley { group.addTask { try await injector.inflict(fault) } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            let end = ends.max() ?? .now
            try await recover(index)
            let names = try volley.map { "\(try injector.name(of: $0)) \($0.mode.rawValue)" }.joined(separator: " + ")
            recoveries.append((ContinuousClock.now - end, names))
            try await until("\(lives) lives have begun", within: Self.limit) { load.begun >= lives }
        }
        return recoveries
    }

    /// A server in each zone is made and runs.
    private func recover(_ index: Int) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for zone in ["north", "south"] {
                group.addTask {
                    let id = try await load.create("recovery-\(index)-\(zone)", zone: zone)
                    try await load.awaitEnd(id)
                    try await load.delete(id)
                }
            }
            try await group.waitForAll()
        }
    }

    // MARK: Afterwards

    /// Waits until all is as it must be, deletes everything, and waits until nothing is left.
    /// - Returns: what is wrong nevertheless.
    private func settle(_ queues: [String: Int]) async throws -> [String] {
        var wrongs = try await waitUntilNone("wrong") { try await self.invariants.wrongs() }
        try await load.deleteAll(within: Self.limit)
        wrongs += try await waitUntilNone("left") { try await self.invariants.remains() }
        wrongs += try await load.usage()
        let now = try await self.queues()
        wrongs += now.filter { $1 > queues[$0, default: 0] }.map { "queue of nobody: \($0)" }
        return wrongs
    }

    /// How many there are of each name. A supervisor has one for answers, with a name of its own at each start.
    private func queues() async throws -> [String: Int] {
        let names = try await invariants.queues().keys.map { name in
            name.range(of: "/replies.").map { String(name[..<$0.upperBound]) } ?? name
        }
        return Dictionary(grouping: names) { $0 }.mapValues(\.count)
    }

    private func waitUntilNone(_ what: String, _ find: () async throws -> [String]) async throws -> [String] {
        let clock = ContinuousClock()
        let end = clock.now + Self.restLimit
        var found = try await find()
        while !found.isEmpty, clock.now < end {
            try await clock.sleep(for: .milliseconds(500))
            found = try await find()
        }
        return found.map { "\(what): \($0)" }
    }

    // MARK: The report

    /// In whose logs it stands, and how often.
    private func told(of words: String) -> String {
        let counts = ready.processes.map { process in
            let log = FileManager.default.contents(atPath: process.log) ?? Data()
            let lines = String(decoding: log, as: UTF8.self).split(separator: "\n")
            return (process.name, lines.count { $0.localizedCaseInsensitiveContains(words) })
        }
        let told = counts.filter { $0.1 > 0 }.map { "\($0.0) \($0.1)" }
        return told.isEmpty ? "none" : told.joined(separator: ", ")
    }

    private func report(
        _ recoveries: [(Duration, String)], _ wrongs: [String], faulted: Duration, settled: Duration
    ) {
        let counts = load.ledger.counts
        let faults = Dictionary(grouping: schedule.volleys.joined(), by: \.name).mapValues(\.count)
        let sorted = recoveries.sorted { $0.0 < $1.0 }
        func seconds(_ duration: Duration?) -> String { String(format: "%.1f s", (duration ?? .zero) / .seconds(1)) }
        print(
            """
            faults, seed \(plan.seed): \(plan.faults) in \(schedule.volleys.count) volleys: \
            \(faults.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))
              accepted: \(counts.creates) creates, \(counts.stops) stops, \(counts.deletes) deletes; \
            \(counts.lists) lists (\(counts.partial) partial), \(counts.shows) shows; \(images.summary); \
            \(counts.unanswered) requests refused or unanswered
              outcomes: \(counts.active) ACTIVE, \(counts.stopped) SHUTOFF, \(counts.unstopped) stops failed, \
            \(counts.errors) ERROR, \(counts.gone) seen gone
              recovery: median \(seconds(sorted.isEmpty ? nil : sorted[sorted.count / 2].0)), longest \
            \(sorted.suffix(3).reversed().map { "\(seconds($0.0)) (\($0.1))" }.joined(separator: ", "))
              \(seconds(faulted)) of faults, at rest \(seconds(settled)) later; \(wrongs.count) wrong
              processes that told of a full disk: \(told(of: "No space left")), of a wrong clock: \
            \(told(of: "clock is wrong"))
            """)
        for (reason, count) in load.ledger.reasons { print("  \(count) in ERROR: \(reason)") }
        for wrong in wrongs.prefix(50) { print("  \(wrong)") }
    }
}

extension FaultLoad {
    /// Deletes all, what was made by requests without an answer too, and waits until none is listed.
    func deleteAll(within limit: Duration) async throws {
        try await until("all are listed", within: limit) {
            guard let statuses = try await statuses() else { return false }
            for id in statuses.keys.sorted() { try await delete(id) }
            return true
        }
        try await until("none is listed", within: limit) { try await statuses()?.isEmpty == true }
    }

    /// What still counts against the quota.
    func usage() async throws -> [String] {
        let absolute = try await session.compute.get("/limits")
        return try ["totalInstancesUsed", "totalCoresUsed", "totalRAMUsed"].compactMap { name in
            let used = try absolute.integer("limits.absolute.\(name)")
            return used == 0 ? nil : "\(name) is \(used)"
        }
    }
}

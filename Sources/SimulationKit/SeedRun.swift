import Foundation
import Primitives
import Synchronization

/// One simulated run: a tree, its users and its faults, all from one seed.
package struct SeedRun: Sendable {
    package struct Report: Sendable, Equatable {
        package var seed: UInt64
        /// Empty when every invariant holds.
        package var problems: [String] = []
        package var faults: [String] = []
        package var processes = 0
        package var servers = 0
        package var actions = 0
        package var deletes = 0
        package var jobs = 0
        /// Of simulated time, until everything was well.
        package var seconds = 0.0
        /// The same for two runs that made the same choices.
        package var digest: UInt64 = 0
    }

    /// Jobs of one run; the longest that came to rest had a hundredth of it.
    private static let jobLimit = 5_000_000
    /// How long everything may take to be well after the last fault.
    private static let settling: Duration = .seconds(240)

    package let seed: UInt64
    package let skipsLogWrites: Bool
    package let isTraced: Bool

    /// - Parameters:
    ///   - skipsLogWrites: plants the bug that a log write is left out now and then.
    ///   - isTraced: keeps what the services say.
    package init(seed: UInt64, skipsLogWrites: Bool = false, isTraced: Bool = false) {
        self.seed = seed
        self.skipsLogWrites = skipsLogWrites
        self.isTraced = isTraced
    }

    /// Runs it on the calling thread.
    package func run() throws -> (report: Report, trace: [String]) {
        var chance = SplitMix(seed: seed)
        let executor = SeededExecutor(seed: chance.next())
        let weather = Weather(seed: chance.next(), skipsLogWrites: skipsLogWrites)
        let ids = SeededIDs(seed: chance.next())
        let shape = TreeShape(using: &chance)
        let plan = FaultPlan(shape, using: &chance)
        let folder = FileManager.default.temporaryDirectory
            .appending(path: "cellwright-seed-\(ProcessInfo.processInfo.processIdentifier)-\(seed)")
        defer { try? FileManager.default.removeItem(at: folder) }  // a folder that stays is no failure of the run
        let log = TraceLog(executor, isWanted: isTraced)
        let cloud = try SimulatedCloud(
            shape, executor: executor, weather: weather, ids: ids, log: log, folder: folder.path)
        let tenants = Tenants(cloud)
        let result = Mutex<(problems: [String], seconds: Double)?>(nil)
        // The one task of the run; everything else is below it. It is on this thread as long as the executor runs.
        _ = Task(executorPreference: executor) {
            let found = await Self.live(cloud, plan, tenants)
            result.withLock { $0 = found }
        }
        let end = executor.run(jobLimit: Self.jobLimit) { result.withLock { $0 != nil } }
        let found = result.withLock { $0 }
        let stories = tenants.all
        var report = Report(seed: seed, problems: found?.problems ?? ["the run is \(end) at \(executor.now)"])
        report.faults = plan.faults.map(\.description)
        report.processes = shape.processes.count
        report.servers = stories.count
        report.actions = stories.values.reduce(0) { $0 + $1.actions }
        report.deletes = stories.values.count(where: \.isDeleteAccepted)
        report.jobs = executor.jobs
        report.seconds = found?.seconds ?? executor.now / .seconds(1)
        report.digest = executor.digest
        return (report, log.all)
    }

    private static func live(
        _ cloud: SimulatedCloud, _ plan: FaultPlan, _ tenants: Tenants
    ) async -> (problems: [String], seconds: Double) {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await cloud.run() }
            let found = await withTaskGroup(of: Void.self) { inner in
                inner.addTask { await plan.run(in: cloud) }
                inner.addTask { await tenants.run() }
                await inner.waitForAll()
                return await settle(cloud, tenants)
            }
            group.cancelAll()
            return found
        }
    }

    /// Looks until all is well, or for too long.
    private static func settle(
        _ cloud: SimulatedCloud, _ tenants: Tenants
    ) async -> (problems: [String], seconds: Double) {
        let limit = cloud.clock.now.advanced(by: settling)
        var problems: [String] = []
        repeat {
            problems = await Inspection.problems(of: cloud, tenants.all)
            if problems.isEmpty { break }
            do {
                try await cloud.clock.sleep(for: .seconds(1))
            } catch {
                break
            }
        } while cloud.clock.now < limit
        let seconds = cloud.executor.now / .seconds(1)
        for problem in problems { cloud.log.add("PROBLEM \(problem)") }
        return (problems, seconds)
    }
}

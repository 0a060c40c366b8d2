package import CloudModel
import FoundationEssentials
import Primitives
import Topology

/// New executables, cell by cell.
extension Deployment {
    /// Brings the executables beside the running tool to one cell after the other, the canary first. A cell that does
    /// not work with them gets its previous ones back, and the upgrade ends there.
    ///
    /// An upgrade that was cut short goes on when it is run again, with the same executables or others.
    /// - Parameter canary: the cell to begin with; the first leaf unless given.
    /// - Throws: ``ExclusiveLock/Held``, `UpgradeStages.Refusal` when the cloud is not ready, ``UpgradeFailure``.
    package func upgrade(canary: CellPath?, stop: StopRequest) async throws -> UpgradeReport {
        guard FileSystem.exists(settings.stateFolder) else {
            throw UpgradeFailure(.refused, "there is no cloud yet: run `cellwright apply` first")
        }
        let lock = try ExclusiveLock(path: settings.lockPath, command: "cellwright upgrade", now: wallClock.now())
        let report = try await upgrade(lock, canary: canary, stop: stop)
        return report
    }

    private func upgrade(
        _ lock: borrowing ExclusiveLock, canary: CellPath?, stop: StopRequest
    ) async throws -> UpgradeReport {
        let clock = ContinuousClock()
        let start = clock.now
        let inputs: DesiredState.Inputs = try await reporter.step("prepare executables") {
            try await self.inputs(creating: false)
        }
        return try await withHosts { hosts -> UpgradeReport in
            let survey: Survey = try await reporter.step("look at the cloud") {
                try await self.survey(hosts, inputs: inputs)
            }
            let plan = try UpgradeStages(
                settings.topology, layout: ProcessLayout(settings.topology), plan: survey.plan, canary: canary)
            var done: [CellPath] = []
            if !plan.stages.isEmpty {
                let speaking = try await speakingHosts(survey)
                for stage in plan.stages {
                    if stop.isRequested {
                        throw UpgradeFailure(.stopped, "\(plan.stages.count - done.count) cells remain", upgraded: done)
                    }
                    reporter.report(ProgressEvent(.stage, done.isEmpty ? "canary \(stage.cell)" : "cell \(stage.cell)"))
                    let upgrade = CellUpgrade(
                        deployment: self, hosts: hosts, stage: stage,
                        before: Self.before(stage, survey, speaking: speaking), binaries: inputs.binaries)
                    try await bring(upgrade, done: done)
                    done.append(stage.cell)
                }
            }
            if !plan.leftovers.isEmpty { _ = try await execute(plan.leftovers, hosts: hosts, stop: stop) }
            return UpgradeReport(
                cells: done.map(\.description), seconds: ((clock.now - start) / .milliseconds(100)).rounded() / 10)
        }
    }

    private func bring(_ upgrade: CellUpgrade, done: [CellPath]) async throws {
        let clock = ContinuousClock()
        let start = clock.now
        do {
            try await upgrade.run()
        } catch {
            try Task.checkCancellation()
            let reason = ErrorChain(error).description
            let cell = upgrade.stage.cell
            reporter.report(ProgressEvent(.stage, "roll \(cell) back"))
            let problems = await upgrade.rollBack()
            let seconds = ((clock.now - start) / .milliseconds(100)).rounded() / 10
            throw UpgradeFailure(
                problems.isEmpty ? .rolledBack(cell, seconds: seconds) : .stuck(cell, problems), reason, upgraded: done)
        }
        try await upgrade.finish()
    }

    /// Hosts whose agents the root hears.
    private func speakingHosts(_ survey: Survey) async throws -> Set<String> {
        let client = try await cells()
        return Set(try await client.hosts(of: nil).filter { $0.state == "up" }.map(\.name))
    }

    private static func before(
        _ stage: UpgradeStages.Stage, _ survey: Survey, speaking: Set<String>
    ) -> CellUpgrade.Before {
        func found(_ id: Resource.ID, _ attribute: String) -> String? {
            guard case .present(let attributes) = survey.facts[id] else { return nil }
            return attributes[attribute]
        }
        var before = CellUpgrade.Before(executables: [:], migratedBy: nil, speaking: speaking)
        for process in stage.processes {
            let id = Resource.ID(.file, host: process.host, name: process.binaryPath)
            // What an upgrade that was cut short kept is what the cell goes back to.
            let kept = Resource.ID(.file, host: process.host, name: process.kept[0])
            before.executables[id] = found(kept, "content") ?? found(id, "content")
        }
        before.migratedBy = found(.init(.schema, cell: stage.cell, name: stage.cell.resourceName), "migratedBy")
        return before
    }
}

import CellProtocol
import CloudModel
import FoundationEssentials
import HypervisorDriver
import Primitives
import SagaEngine
import ServerLifecycle

/// Looks whether everything that was accepted has ended as it should, and nothing is left over: the invariants of a run.
struct Inspection {
    private let cloud: SimulatedCloud
    private let stories: [ServerID: Tenants.Story]
    private let root: InMemoryRootStore.View
    private var leaves: [CellPath: CellSnapshot] = [:]
    private var guests: [HostName: [ServerID: PowerState]] = [:]
    private(set) var problems: [String] = []

    /// - Returns: what is wrong; empty when all is well.
    static func problems(of cloud: SimulatedCloud, _ stories: [ServerID: Tenants.Story]) async -> [String] {
        do {
            var inspection = try await Inspection(cloud, stories)
            for id in stories.keys.sorted() { inspection.look(at: id) }
            inspection.lookForLeftovers()
            try await inspection.lookAtSagas()
            try await inspection.compareDirectories()
            return inspection.problems
        } catch {
            return ["it can't be looked at: \(error)"]
        }
    }

    private init(_ cloud: SimulatedCloud, _ stories: [ServerID: Tenants.Story]) async throws {
        self.cloud = cloud
        self.stories = stories
        root = cloud.root.view()
        let ids = stories.keys.sorted()
        for (cell, store) in cloud.leaves {
            leaves[cell] = try await store.transact(CellScope(servers: ids)) { CellDecision(CellChanges(), $0) }
        }
        for host in cloud.hosts { guests[host.name] = try await host.hypervisor.guests() }
    }

    private mutating func note(_ text: String) { problems.append(text) }

    // MARK: One server

    private mutating func look(at id: ServerID) {
        guard let server = root.servers[id] else { return note("\(id): the root has lost it") }
        let isWanted = stories[id]?.isDeleteAccepted != true
        if server.isDeleted {
            if isWanted { note("\(id): gone, and nobody deleted it") }
            return lookAtGone(id)
        }
        if !isWanted { note("\(id): its delete was accepted and is not done") }
        switch server.isFailedBuild {
        case true?:
            if server.summary.state.vm != .error { note("\(id): failed, and not in ERROR") }
            if root.claims[id] != nil { note("\(id): failed, and has a place on \(root.claims[id]?.text ?? "-")") }
            lookAtGone(id, isRootGone: false)
        case false?: note("\(id): still being built")
        case nil: lookAtLiving(id, server)
        }
    }

    /// Nothing of it is anywhere.
    private mutating func lookAtGone(_ id: ServerID, isRootGone: Bool = true) {
        if isRootGone {
            if root.claims[id] != nil { note("\(id): gone, and has a place") }
            if root.uses.contains(id) { note("\(id): gone, and counts in its quota") }
        }
        if root.commands.contains(where: { $0.serverID == id }) { note("\(id): gone, and a command is on its way") }
        for (host, here) in guests where here[id] != nil { note("\(id): gone, and a guest on \(host)") }
        for (cell, snapshot) in leaves {
            guard let stored = snapshot.servers[id], !stored.isDeleted, !stored.isFailedBuild else { continue }
            note("\(id): gone, and \(stored.instance.state.vm) in \(cell)")
        }
    }

    private mutating func lookAtLiving(_ id: ServerID, _ server: InMemoryRootStore.View.Server) {
        guard let cell = server.cell, let stored = leaves[cell]?.servers[id] else {
            return note("\(id): no cell has it (\(server.summary.status))")
        }
        let instance = stored.instance
        let told = server.summary
        if instance.state.task != nil { note("\(id): still \(instance.state.task?.rawValue ?? "-") in \(cell)") }
        if told.state.vm != instance.state.vm || told.host != instance.host {
            note("\(id): \(told.state.vm) on \(told.host?.text ?? "-") above, \(instance.state.vm) in \(cell)")
        }
        if ![.active, .stopped, .error].contains(instance.state.vm) { note("\(id): \(instance.state.vm) in \(cell)") }
        if instance.state.vm == .error, instance.fault == nil { note("\(id): in ERROR without a reason") }
        if root.claims[id] != instance.host {
            note("\(id): on \(instance.host?.text ?? "-"), its place on \(root.claims[id]?.text ?? "none")")
        }
        for (host, here) in guests {
            let power = here[id]
            if host != instance.host {
                if power != nil { note("\(id): a guest on \(host) too") }
            } else if instance.state.vm == .active, power != .running {
                note("\(id): ACTIVE, and on its host \(power.map { "\($0)" } ?? "nothing")")
            } else if instance.state.vm == .stopped, power != .shutdown {
                note("\(id): SHUTOFF, and on its host \(power.map { "\($0)" } ?? "nothing")")
            }
        }
        for (other, snapshot) in leaves where other != cell {
            guard let twin = snapshot.servers[id], !twin.isDeleted, !twin.isFailedBuild else { continue }
            note("\(id): in \(cell), and \(twin.instance.state.vm) in \(other)")
        }
    }

    // MARK: The whole

    private mutating func lookForLeftovers() {
        for command in root.commands { note("a command for \(command.serverID) waits for \(command.cell)") }
        for (host, here) in guests {
            for id in here.keys where stories[id] == nil { note("a guest of nobody on \(host): \(id)") }
        }
        for id in root.uses where root.servers[id]?.isDeleted != false { note("a quota counts \(id)") }
        for id in root.claims.keys where root.servers[id]?.isDeleted != false { note("\(id) has a place, and is not") }
        let down = root.hosts.filter { !$0.isUp }
        if root.hosts.count != cloud.hosts.count || !down.isEmpty {
            note("hosts are away: \(down.map(\.name.text)) of \(root.hosts.count)")
        }
    }

    /// No saga is left, and the log of each that has ended says how it ended.
    private mutating func lookAtSagas() async throws {
        for (cell, store) in cloud.leaves {
            let filter = SagaFilter(states: SagaState.allCases, limit: 1000)
            for saga in try await store.sagas(filter) {
                let name = "saga \(saga.name) of \(saga.serverID) in \(cell)"
                if saga.state.isOpen { note("\(name): \(saga.state.rawValue)") }
                guard let (_, definition) = ServerSaga.stored(name: saga.name, version: saga.version) else {
                    note("\(name): of no version")
                    continue
                }
                do throws(SagaLogCorruption) {
                    let machine = try SagaMachine(definition, replaying: saga.log.map(\.entry))
                    if !Self.fits(machine.outcome, saga.state) {
                        note("\(name): \(saga.state.rawValue), and its log says \(machine.phase)")
                    }
                } catch {
                    note("\(name): its log can't be replayed: \(error)")
                }
            }
        }
    }

    private static func fits(_ outcome: SagaOutcome?, _ state: SagaState) -> Bool {
        switch (state, outcome) {
        case (.succeeded, .succeeded?), (.failed, .failed?), (.live, nil): true
        // What was parked or overtaken is closed without a line.
        case (.cancelled, _), (.abandoned, _), (.parked, _): true
        case (.succeeded, _), (.failed, _), (.live, _): false
        }
    }

    /// Each directory says what its cells say.
    private mutating func compareDirectories() async throws {
        for (branch, store) in cloud.branches {
            compare(
                "the root of \(branch)", try await cloud.root.audit(of: branch), try await store.audit())
            for (cell, leaf) in cloud.leaves where cell.parent == branch {
                compare("\(branch) of \(cell)", try await store.audit(of: cell), try await leaf.audit())
            }
        }
    }

    private mutating func compare(_ who: String, _ ours: DirectoryAudit, _ theirs: DirectoryAudit) {
        if ours.servers != theirs.servers || ours.digest != theirs.digest {
            note("\(who) knows \(ours.servers) servers, and there are \(theirs.servers)")
        }
    }
}

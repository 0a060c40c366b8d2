import CellProtocol
import CloudModel
import FoundationEssentials
import ServerLifecycle
import Testing

/// A delete in every phase of what else is being done.
@Suite(.serialized, .timeLimit(.minutes(2))) struct DeleteTests {
    enum Phase: String, CaseIterable {
        case accepted, spawning, undoing, failed, active, stopping, starting, rebooting, deleting
    }

    static let cases = StoreKind.available.flatMap { kind in Phase.allCases.map { (kind, $0) } }

    @Test(arguments: cases) func aDeleteEndsWithNothingLeft(kind: StoreKind, phase: Phase) async throws {
        try await LeafCell.with(kind, conductors: phase == .accepted ? [] : ["c1"]) { leaf in
            if phase == .accepted { try await leaf.store.join("host-1") }
            let id = try await reach(phase, leaf)
            guard case .accepted = try await leaf.act(.delete, id) else {
                Issue.record("refused in \(phase)")
                return
            }
            leaf.hosts[0].obey(FakeAgent.obedient)
            if phase == .undoing {
                // The undo that was asked for goes on without an answer; it is sent again.
                try await eventually("undo sent again") { leaf.hosts[0].destroys.count > 1 }
            }
            try await eventually("gone in \(phase)") { try await leaf.state(id)?.vm == .deleted }
            #expect(try await leaf.isCleared(id))
            try await eventually("told") {
                if case .instanceDeleted = leaf.parent.news(of: id).last { true } else { false }
            }
            let actions = try await leaf.store.actions(of: id, limit: 10)
            #expect(actions.allSatisfy { $0.finishedAt != nil })
            guard case .notFound = try await leaf.act(.delete, id) else {
                Issue.record("found after it was deleted")
                return
            }
        }
    }

    /// A server that something is being done to, whose host does not answer that.
    private func reach(_ phase: Phase, _ leaf: LeafCell) async throws -> ServerID {
        let agent = leaf.hosts[0]
        switch phase {
        case .accepted: return try await leaf.build(makeInstance())
        case .spawning:
            agent.obey { if case .spawn = $0.work { nil } else { FakeAgent.obedient($0) } }
            let id = try await leaf.build(makeInstance())
            try await eventually("spawning") { !agent.spawns.isEmpty }
            return id
        case .undoing:
            agent.obey { if case .spawn = $0.work { brokenSpawn } else { nil } }
            let id = try await leaf.build(makeInstance())
            try await eventually("undoing") { !agent.destroys.isEmpty }
            return id
        case .failed:
            agent.obey { if case .spawn = $0.work { brokenSpawn } else { FakeAgent.obedient($0) } }
            let id = try await leaf.build(makeInstance())
            try await leaf.waitUntil(id, .error)
            return id
        case .active: return try await leaf.boot()
        case .stopping: return try await during(.stop, leaf)
        case .starting:
            let id = try await leaf.boot()
            _ = try await leaf.act(.stop, id)
            try await leaf.waitUntil(id, .stopped)
            return try await during(.start, leaf, id)
        case .rebooting: return try await during(.reboot(hard: true), leaf)
        case .deleting: return try await during(.delete, leaf)
        }
    }

    private func during(_ action: ServerAction, _ leaf: LeafCell, _ id: ServerID? = nil) async throws -> ServerID {
        let server: ServerID
        if let id { server = id } else { server = try await leaf.boot() }
        let count = leaf.hosts[0].commands.count
        leaf.hosts[0].obey { _ in nil }
        _ = try await leaf.act(action, server)
        try await eventually("commanded") { leaf.hosts[0].commands.count > count }
        return server
    }
}

import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Testing

/// What every cell answers, whatever lies below it: the same tests of a leaf, of a branch over leaves, and of a branch
/// over branches.
@Suite(.serialized, .timeLimit(.minutes(3))) struct CellProtocolTests {
    @Test(arguments: CellTree.Kind.available) func aServerLivesAndDies(kind: CellTree.Kind) async throws {
        try await CellTree.with(kind) { cell in
            for host in CellTree.hosts {
                let id = try await cell.boot(on: host)
                #expect(try await cell.shown(id).contains("\"status\":\"ACTIVE\""))
                for (action, status) in [(ServerAction.stop, "SHUTOFF"), (.start, "ACTIVE")] {
                    guard case .accepted = try await cell.call(ActRequest(id: id, action: action)) else {
                        Issue.record("\(action) is refused")
                        return
                    }
                    try await cell.answered("\(status)") {
                        try await cell.shown(id).contains("\"status\":\"\(status)\"")
                    }
                    try await cell.answered("task over") {
                        try await cell.shown(id).contains("\"OS-EXT-STS:task_state\":null")
                    }
                }
                guard case .accepted = try await cell.call(ActRequest(id: id, action: .delete)) else {
                    Issue.record("delete is refused")
                    return
                }
                try await eventually("told") {
                    cell.parent.news(of: id).contains { if case .instanceDeleted = $0 { true } else { false } }
                }
                #expect(try await cell.shown(id).isEmpty)
                #expect(cell.agents.allSatisfy { $0.guests[id] == nil })
            }
        }
    }

    @Test(arguments: CellTree.Kind.available) func aServerIsFoundAsSoonAsItIsAccepted(
        kind: CellTree.Kind
    ) async throws {
        try await CellTree.with(kind) { cell in
            for agent in cell.agents { agent.obey { _ in nil } }
            let builds = CellTree.hosts.map { makeBuild(makeInstance(host: $0)) }
            let servers = Set(builds.map(\.instance.id))
            for _ in 0..<2 {
                try await cell.answered("accepted, and a repeat is harmless") {
                    Set(try await cell.call(BuildRequest(builds: builds)).accepted) == servers
                }
                // At once: what is not found must be said to be out of reach.
                try await cell.answered("found") {
                    let page = try await cell.show(Array(servers))
                    #expect(Set(page.rows.map(\.id) + (page.unreachable ?? [])) == servers)
                    return page.unreachable == nil
                }
            }
            try await eventually("each host has got its own") {
                zip(cell.agents, builds).allSatisfy { agent, build in
                    Set(agent.spawns.map(\.instanceID)) == [build.instance.id]
                }
            }
        }
    }

    @Test(arguments: CellTree.Kind.available) func whatCanNotBeDoneIsAnsweredSo(kind: CellTree.Kind) async throws {
        try await CellTree.with(kind) { cell in
            let stray = makeInstance(host: "nowhere")
            let refused = try await cell.call(BuildRequest(builds: [makeBuild(stray)])).refused
            #expect(refused.map(\.id) == [stray.id])
            guard case .notFound = try await cell.call(ActRequest(id: ids.next(), action: .stop)),
                case .notFound = try await cell.call(ConsoleOutputRequest(id: ids.next(), lines: nil)),
                case .notFound = try await cell.call(SetHostRequest(host: "nowhere", isEnabled: false, reason: nil))
            else {
                Issue.record("found what is not there")
                return
            }
            #expect(try await cell.show([ids.next()]).rows.isEmpty)
            let tooMany = BuildRequest(builds: (0...BuildRequest.batchLimit).map { _ in makeBuild(makeInstance()) })
            await #expect(throws: CellFailure.self) { try await cell.call(tooMany) }
            for (kind, body) in [("cell.unknown", "{}"), (BuildRequest.kind, "nonsense")] {
                let envelope = Envelope(
                    messageID: ids.uuid(), requestID: "r", sender: "test", kind: kind, body: Data(body.utf8))
                let answer = try await cell.bus.call(
                    envelope, queue: CellTopology.supervisorQueue, timeout: .seconds(10))
                #expect(answer.kind == CellFailure.kind)
            }
        }
    }

    @Test(arguments: CellTree.Kind.available) func anActIsDoneOnceByItsKeyAndConflictsAreTold(
        kind: CellTree.Kind
    ) async throws {
        try await CellTree.with(kind) { cell in
            let id = try await cell.boot(on: "host-2")
            cell.agents[1].obey { _ in nil }
            for _ in 0..<2 {
                guard case .accepted = try await cell.call(ActRequest(id: id, action: .stop), key: "once") else {
                    Issue.record("refused")
                    return
                }
            }
            guard case .conflict = try await cell.call(ActRequest(id: id, action: .stop)) else {
                Issue.record("no conflict")
                return
            }
        }
    }

    @Test(arguments: CellTree.Kind.available) func consoleOutputComesFromTheHost(kind: CellTree.Kind) async throws {
        try await CellTree.with(kind) { cell in
            let id = try await cell.boot(on: "host-2")
            guard case .output("console of host-2") = try await cell.call(ConsoleOutputRequest(id: id, lines: 10))
            else {
                Issue.record("no console")
                return
            }
            let stranger = Caller(userID: "u", projectID: "other", roles: [])
            guard case .notFound = try await cell.call(ConsoleOutputRequest(id: id, lines: nil), as: stranger) else {
                Issue.record("another project's console was shown")
                return
            }
        }
    }

    @Test(arguments: CellTree.Kind.available) func eventsComeInOrderWithoutGapsAndCanBeSentAgain(
        kind: CellTree.Kind
    ) async throws {
        try await CellTree.with(kind) { cell in
            var servers: [ServerID] = []
            for number in 0..<6 { servers.append(try await cell.boot(on: CellTree.hosts[number % 2])) }
            let told = cell.parent.all
            #expect(told.map(\.sequence) == Array(1...Int64(told.count)))
            #expect(told.allSatisfy { $0.cell == testCell })
            let again = try await cell.call(EventsRequest(after: 3))
            #expect(again.events.map(\.sequence) == Array(4...again.newest))
            #expect(Array(again.events.prefix(told.count - 3)) == Array(told.dropFirst(3)))
            // Every server in the order in which it went through its states, from the leaf that has it.
            for (number, id) in servers.enumerated() {
                let origins = told.filter { event in
                    if case .instanceChanged(let summary) = event.event { summary.id == id } else { false }
                }.map { $0.origin ?? $0.cell }
                #expect(Set(origins) == [kind.leaves[number % 2]])
            }
        }
    }

    @Test(arguments: CellTree.Kind.available) func hostsAreListedAndDisabled(kind: CellTree.Kind) async throws {
        try await CellTree.with(kind) { cell in
            // A branch knows a host once it has heard of it.
            try await cell.answered("it is disabled") {
                let reply = try await cell.call(SetHostRequest(host: "host-2", isEnabled: false, reason: "disk"))
                guard case .changed(let host) = reply else { return false }
                #expect(!host.isEnabled)
                return true
            }
            try await eventually("told") {
                cell.parent.events.contains { if case .hostChanged(let host) = $0 { !host.isEnabled } else { false } }
            }
            var hosts: [HostRecord] = []
            try await cell.answered("both are listed") {
                hosts = try await cell.call(HostsRequest()).hosts
                return hosts.count == 2
            }
            #expect(hosts.map(\.name) == CellTree.hosts)
            #expect(hosts.map(\.cell) == kind.leaves)
            #expect(hosts.map(\.isEnabled) == [true, false])
        }
    }

    @Test(arguments: CellTree.Kind.available) func theInventoryNamesEveryServerAndTheAuditCountsThem(
        kind: CellTree.Kind
    ) async throws {
        try await CellTree.with(kind) { cell in
            var leaves: [ServerID: CellPath] = [:]
            for (host, leaf) in zip(CellTree.hosts, kind.leaves) { leaves[try await cell.boot(on: host)] = leaf }
            let heard = cell.parent.all.last?.sequence ?? 0
            let page = try await cell.call(InventoryRequest(after: nil))
            let origins = page.origins ?? page.servers.map { _ in testCell }
            #expect(page.isLast)
            #expect(Dictionary(uniqueKeysWithValues: zip(page.servers.map(\.id), origins)) == leaves)
            #expect(page.sequence >= heard)
            let last = try await cell.call(InventoryRequest(after: page.servers.last?.id))
            #expect(last.isLast && last.servers.isEmpty)
            let audit = try await cell.call(AuditRequest())
            let digest = leaves.keys.reduce(Int64(0)) { sum, id in
                let head = Int64(id.description.prefix(8), radix: 16) ?? 0
                return sum + head * Int64(VMState.active.rawValue.utf8.count)
            }
            #expect(audit == DirectoryAudit(sequence: audit.sequence, servers: 2, digest: digest))
        }
    }

    @Test(arguments: CellTree.Kind.available) func theParentHearsEveryMomentHowTheCellIs(
        kind: CellTree.Kind
    ) async throws {
        try await CellTree.with(kind) { cell in
            _ = try await cell.boot()
            try await eventually("a full heartbeat") {
                guard let beat = cell.parent.heartbeats.last else { return false }
                return beat.cell == testCell && beat.isDatabaseUp && beat.hosts == 2 && beat.hostsUp == 2
                    && beat.conductorsUp == Set(kind.leaves).count && beat.newestSequence > 0
            }
            #expect(cell.parent.heartbeats.last?.isLeaf == (kind == .leaf))
            let below = try await cell.call(CellsRequest()).cells
            let expected = Set(kind.leaves + kind.branches).subtracting([testCell])
            #expect(below.map(\.path) == expected.sorted())
            _ = try await cell.call(PingRequest())
        }
    }
}

import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import ServerLifecycle
import Supervisor
import Testing

/// What a leaf answers, and what it says unasked.
@Suite(.serialized, .timeLimit(.minutes(2))) struct SupervisorTests {
    private let view = ServerViewContext(
        detail: .single, microversion: 96, computeURL: "http://cloud/compute/v2.1", isAdmin: true)

    @Test(arguments: StoreKind.available) func aBuildIsTakenOnceHoweverOftenItComes(kind: StoreKind) async throws {
        try await LeafCell.with(kind) { leaf in
            let instance = makeInstance()
            for _ in 0..<3 { #expect(try await leaf.build(instance) == instance.id) }
            try await leaf.waitUntil(instance.id, .active)
            _ = try await leaf.build(instance)
            #expect(try await leaf.state(instance.id)?.vm == .active)
            #expect(Set(leaf.hosts[0].spawns.map(\.key)).count == 1)
        }
    }

    @Test func aBuildForAnUnknownHostIsRefusedAndTheOthersAreTaken() async throws {
        try await LeafCell.with { leaf in
            let good = makeInstance()
            let bad = makeInstance(host: "elsewhere")
            let reply = try await leaf.call(BuildRequest(builds: [good, bad].map { makeBuild($0) }))
            #expect(reply.accepted == [good.id])
            #expect(reply.refused.map(\.id) == [bad.id])
        }
    }

    @Test(arguments: StoreKind.available) func serversAreShownRendered(kind: StoreKind) async throws {
        try await LeafCell.with(kind) { leaf in
            let id = try await leaf.boot()
            let reply = try await leaf.call(GetRequest(ids: [id, ids.next()], view: view))
            #expect(reply.rows.map(\.id) == [id])
            let text = String(decoding: try #require(reply.rows.first).rendered, as: UTF8.self)
            #expect(text.contains("\"status\":\"ACTIVE\""))
            #expect(text.contains("\"OS-EXT-SRV-ATTR:hypervisor_hostname\":\"hv\""))
            #expect(text.contains("\"host_status\":\"UP\""))
            let version = try await leaf.stored(id)?.instance.version
            #expect(reply.rows.first?.version == version)
        }
    }

    @Test func aChangeIsAnsweredWithTheServerAsItIsThen() async throws {
        try await LeafCell.with { leaf in
            let id = try await leaf.boot()
            let reply = try await leaf.call(
                ActRequest(id: id, action: .update(ServerChanges(name: "other")), view: view))
            guard case .accepted(let rendered?) = reply else {
                Issue.record("\(reply)")
                return
            }
            #expect(String(decoding: rendered, as: UTF8.self).contains("\"name\":\"other\""))
        }
    }

    @Test func anActIsDoneOnceByItsKeyAndConflictsAreTold() async throws {
        try await LeafCell.with { leaf in
            let id = try await leaf.boot()
            leaf.hosts[0].obey { _ in nil }
            for _ in 0..<2 {
                guard case .accepted = try await leaf.call(ActRequest(id: id, action: .stop), key: "once") else {
                    Issue.record("refused")
                    return
                }
            }
            guard case .conflict(let message) = try await leaf.act(.stop, id) else {
                Issue.record("no conflict")
                return
            }
            #expect(message == "task_state powering-off")
            guard case .notFound = try await leaf.act(.stop, ids.next()) else {
                Issue.record("found")
                return
            }
        }
    }

    @Test func whatCanNotBeReadOrIsNotKnownIsAFailureAndNotSilence() async throws {
        try await LeafCell.with { leaf in
            for (kind, body) in [("cell.unknown", "{}"), (BuildRequest.kind, "nonsense")] {
                let envelope = Envelope(
                    messageID: ids.uuid(), requestID: "r", sender: "test", kind: kind, body: Data(body.utf8))
                let answer = try await leaf.bus.call(
                    envelope, queue: CellTopology.supervisorQueue, timeout: .seconds(10))
                #expect(answer.kind == CellFailure.kind)
            }
            let tooMany = BuildRequest(builds: (0...BuildRequest.batchLimit).map { _ in makeBuild(makeInstance()) })
            await #expect(throws: CellFailure.self) { try await leaf.call(tooMany) }
        }
    }

    // MARK: Consoles

    @Test func consoleOutputComesFromTheHost() async throws {
        try await LeafCell.with { leaf in
            let id = try await leaf.boot(on: "host-2")
            guard case .output(let text) = try await leaf.call(ConsoleOutputRequest(id: id, lines: 10)) else {
                Issue.record("no output")
                return
            }
            #expect(text == "console of host-2")
            guard case .notFound = try await leaf.call(ConsoleOutputRequest(id: ids.next(), lines: nil)) else {
                Issue.record("found")
                return
            }
            let stranger = Caller(userID: "u", projectID: "other", roles: [])
            guard case .notFound = try await leaf.call(ConsoleOutputRequest(id: id, lines: nil), as: stranger) else {
                Issue.record("another project's console was shown")
                return
            }
        }
    }

    @Test func consoleOutputOfAHostThatIsDownIsNotWaitedFor() async throws {
        try await LeafCell.with { leaf in
            let id = try await leaf.boot()
            try await leaf.takeDown(leaf.hosts[0])
            guard case .unavailable = try await leaf.call(ConsoleOutputRequest(id: id, lines: nil)) else {
                Issue.record("available")
                return
            }
        }
    }

    @Test func aServerThatIsBeingBuiltHasNoConsole() async throws {
        try await LeafCell.with { leaf in
            leaf.hosts[0].obey { _ in nil }
            let id = try await leaf.build(makeInstance())
            guard case .conflict(let message) = try await leaf.call(ConsoleOutputRequest(id: id, lines: nil)) else {
                Issue.record("no conflict")
                return
            }
            #expect(message == "vm_state building")
        }
    }

    // MARK: Events and hosts

    @Test(arguments: StoreKind.available) func eventsComeInOrderWithoutGapsAndCanBeSentAgain(
        kind: StoreKind
    ) async throws {
        try await LeafCell.with(kind) { leaf in
            for _ in 0..<5 { _ = try await leaf.boot() }
            try await eventually("all came") { leaf.parent.all.count >= 7 }
            let sequences = leaf.parent.all.map(\.sequence)
            #expect(sequences == Array(1...Int64(sequences.count)))
            let again = try await leaf.call(EventsRequest(after: 3))
            #expect(again.events.map(\.sequence) == Array(4...again.newest))
            #expect(again.events == Array(leaf.parent.all.dropFirst(3)))
        }
    }

    @Test func anotherSupervisorGoesOnPublishing() async throws {
        try await LeafCell.with { leaf in
            _ = try await leaf.boot()
            try await eventually("told") { leaf.parent.all.count >= 3 }
            // Someone else has the duty now: this supervisor's events wait.
            try await leaf.store.releaseDuty(.publisher, owner: "s1")
            try await withThrowingTaskGroup(of: Void.self) { group in
                let second = leaf.supervisor("s2")
                group.addTask { try await second.run() }
                for _ in 0..<5 { _ = try await leaf.boot() }
                try await eventually("told") { Set(leaf.parent.all.map(\.sequence)).count >= 8 }
                group.cancelAll()
            }
            #expect(Set(leaf.parent.all.map(\.sequence)) == Set(1...8))
        }
    }

    @Test func theParentHearsEveryMomentHowTheCellIs() async throws {
        try await LeafCell.with { leaf in
            _ = try await leaf.boot()
            try await eventually("a full heartbeat") {
                guard let beat = leaf.parent.heartbeats.last else { return false }
                return beat.cell == testCell && beat.version == "test" && beat.isDatabaseUp && beat.hosts == 2
                    && beat.hostsUp == 2 && beat.conductorsUp == 1 && beat.newestSequence == 3
            }
        }
    }

    @Test func hostsAreListedAndDisabled() async throws {
        try await LeafCell.with { leaf in
            let request = SetHostRequest(host: "host-2", isEnabled: false, reason: "disk")
            guard case .changed(let host) = try await leaf.call(request) else {
                Issue.record("not changed")
                return
            }
            #expect(!host.isEnabled)
            let hosts = try await leaf.call(HostsRequest()).hosts
            #expect(hosts.map(\.name) == ["host-1", "host-2"])
            #expect(hosts.map(\.isEnabled) == [true, false])
            try await eventually("told") {
                leaf.parent.events.contains { event in
                    if case .hostChanged(let host) = event { !host.isEnabled } else { false }
                }
            }
            guard case .notFound = try await leaf.call(SetHostRequest(host: "no", isEnabled: true, reason: nil)) else {
                Issue.record("found")
                return
            }
        }
    }
}

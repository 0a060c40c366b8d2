import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import ServerLifecycle
import TestSupport
import Testing

/// A leaf on a real database and a real broker, where hosts and parent may do no more than their permissions say.
@Suite(
    .serialized, .timeLimit(.minutes(3)),
    .enabled(if: PrivatePostgres.isInstalled && PrivateRabbitMQ.isInstalled, "needs PostgreSQL and RabbitMQ"))
struct RealServersTests {
    @Test func aServerLivesAndDies() async throws {
        try await LeafCell.with(.postgres, broker: try await .rabbit()) { leaf in
            let id = try await leaf.boot(on: "host-2")
            guard case .output(let text) = try await leaf.call(ConsoleOutputRequest(id: id, lines: nil)) else {
                Issue.record("no console")
                return
            }
            #expect(text == "console of host-2")
            guard case .accepted = try await leaf.act(.reboot(hard: true), id) else {
                Issue.record("refused")
                return
            }
            try await leaf.waitUntil(id, .active)
            guard case .accepted = try await leaf.act(.delete, id) else {
                Issue.record("refused")
                return
            }
            try await eventually("gone") { try await leaf.state(id)?.vm == .deleted }
            #expect(try await leaf.isCleared(id))
            try await eventually("told") { leaf.parent.news(of: id).count == 4 }
            let sequences = leaf.parent.all.map(\.sequence)
            #expect(sequences == Array(1...Int64(sequences.count)))
            try await eventually("its hosts are counted") { leaf.parent.heartbeats.last?.hostsUp == 2 }
        }
    }

    @Test func conductorsShareManyBuildsOfWhichSomeFail() async throws {
        try await LeafCell.with(.postgres, conductors: ["c1", "c2"], broker: try await .rabbit()) { leaf in
            leaf.hosts[1].obey { if case .spawn = $0.work { brokenSpawn } else { FakeAgent.obedient($0) } }
            let instances = (0..<40).map { makeInstance(host: $0.isMultiple(of: 2) ? "host-1" : "host-2") }
            let reply = try await leaf.call(BuildRequest(builds: instances.map { makeBuild($0) }))
            #expect(reply.accepted.count == 40)
            for (number, instance) in instances.enumerated() {
                try await leaf.waitUntil(instance.id, number.isMultiple(of: 2) ? .active : .error)
            }
            try await eventually("all told") { instances.allSatisfy { leaf.parent.news(of: $0.id).count == 1 } }
            for instance in instances where instance.host == "host-2" {
                #expect(leaf.hosts[1].guests[instance.id] == nil)
            }
        }
    }

    @Test func aHostCanNotSpeakForAnother() async throws {
        try await LeafCell.with(.postgres, broker: try await .rabbit()) { leaf in
            let report = GuestLifecycleReport(
                guest: GuestReport(id: ids.next(), power: .running), seenAt: leaf.wallClock.now())
            await #expect(throws: BusError.self) {
                try await leaf.hosts[0].report(
                    report, kind: GuestLifecycleReport.kind, route: "lifecycle", as: "host-2")
            }
        }
    }
}

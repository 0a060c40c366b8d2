import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import TestSupport
import Testing
import Topology

@testable import Deployer

/// A cell's virtual host and users on a real RabbitMQ that somebody else runs and others use.
@Suite(.serialized, .timeLimit(.minutes(3)), .enabled(if: PrivateRabbitMQ.isInstalled, "needs RabbitMQ"))
struct ExistingBrokerTests {
    private static let place: HostName = "127.0.0.1:1"
    private static let user = "supervisor.south"
    private static let password = Secret("the-users-password")
    private static let administratorPassword = Secret(#"s3cret' "quoted" \ $all"#)
    private static let mark = Ownership.mark(cloud: "mine")

    private struct Broker {
        let server: PrivateRabbitMQ
        let script: BrokerScript
        let shell: LocalShell

        func facts(wanted: [String] = []) async throws -> BrokerProbe {
            try BrokerProbe(
                output: try await shell.run(script.facts()), place: place, passwords: [user: password],
                administrator: "boss",
                ownership: Ownership(mark: mark, wanted: Set(["cellwright_south", user] + wanted)))
        }

        func perform(_ requests: [BrokerRequest]) async throws { try await shell.run(try script.perform(requests)) }
    }

    private func broker() async throws -> Broker {
        let server = try await PrivateRabbitMQ.shared()
        try await server.send(
            BrokerAdministration.createUser(
                "boss", password: .init(Self.administratorPassword, salt: 1), tags: ["administrator"]))
        return Broker(
            server: server,
            script: BrokerScript(url: server.managementURL, user: "boss", password: Self.administratorPassword),
            shell: try LocalShell(watching: "curl"))
    }

    private func id(_ kind: Resource.Kind, _ name: String) -> Resource.ID { .init(kind, host: Self.place, name: name) }

    private func make(_ broker: Broker) async throws {
        try await broker.perform(
            [
                BrokerAdministration.createVHost("cellwright_south", description: Self.mark),
                BrokerAdministration.createUser(Self.user, password: .init(Self.password, salt: 2)),
            ] + BrokerAdministration.grant(.controlPlane, to: Self.user, vhost: "cellwright_south"))
    }

    @Test func whatIsMadeIsFoundAndTheAdministratorIsNoneOfOurs() async throws {
        let broker = try await broker()
        let before = try await broker.facts()
        #expect(before.observations.isEmpty)
        for _ in 0..<2 {
            try await make(broker)
            let found = try await broker.facts()
            #expect(
                found.observations == [
                    id(.brokerVhost, "cellwright_south"): .present([:]),
                    id(.brokerUser, Self.user): .present(["password": "current", "tags": ""]),
                    id(.brokerPermissions, Self.user): .present([
                        "configure": ".*", "write": ".*", "read": ".*", "topics": "", "vhost": "cellwright_south",
                    ]),
                ])
        }
        try await broker.perform([
            BrokerAdministration.deleteVHost("cellwright_south"), BrokerAdministration.deleteUser(Self.user),
        ])
        #expect(try await broker.facts().observations.isEmpty)
        #expect(try !broker.shell.arguments.contains("s3cret"))
        #expect(try broker.shell.leftovers == [])
    }

    @Test func whatOthersHaveIsLeftOutAndANameOfOursThatTheyHaveIsUnknown() async throws {
        let broker = try await broker()
        try await make(broker)
        let theirs = "cellwright_theirs"
        try await broker.perform(
            [
                BrokerAdministration.createVHost(theirs, description: "cellwright cloud theirs"),
                BrokerAdministration.createUser("host.shared", password: .init(Self.password, salt: 3)),
                BrokerAdministration.createUser("watcher", password: .init(Self.password, salt: 4)),
                BrokerAdministration.createUser("conductor.south", password: .init(Self.password, salt: 5)),
            ] + BrokerAdministration.grant(.controlPlane, to: "host.shared", vhost: theirs)
                + BrokerAdministration.grant(.parent, to: "watcher", vhost: "cellwright_south")
                + BrokerAdministration.grant(.controlPlane, to: "conductor.south", vhost: "cellwright_south"))
        let found = try await broker.facts()
        // What an earlier apply left is ours, though the topology wants it no more; who may only look in is not.
        #expect(found.observations[id(.brokerUser, "conductor.south")] != nil)
        for name in ["watcher", "host.shared", "boss"] {
            #expect(found.observations[id(.brokerUser, name)] == nil, "\(name)")
            #expect(found.observations[id(.brokerPermissions, name)] == nil, "\(name)")
        }
        #expect(found.observations[id(.brokerVhost, theirs)] == nil)
        let wanted = try await broker.facts(wanted: [theirs, "host.shared"])
        guard case .unknown(let why) = wanted.observations[id(.brokerVhost, theirs)],
            case .unknown(let who) = wanted.observations[id(.brokerUser, "host.shared")]
        else {
            Issue.record("things of others are taken for ours: \(wanted.observations)")
            return
        }
        #expect(why.contains("\"cellwright cloud theirs\""))
        #expect(who.contains("virtual host \(theirs)"))
        try await broker.perform(
            [theirs, "cellwright_south"].map { BrokerAdministration.deleteVHost($0) }
                + ["host.shared", "watcher", "conductor.south", Self.user].map { BrokerAdministration.deleteUser($0) })
    }
}

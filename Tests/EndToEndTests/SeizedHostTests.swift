import CellProtocol
import CloudHarness
import CloudModel
import Deployer
import Foundation
import MessageBus
import PostgresClient
import Primitives
import RabbitMQTransport
import Synchronization
import TestSupport
import Testing

extension EndToEndTests {
    /// An attacker has everything that a compute host has: what it tries beyond its own host is refused, by the broker or
    /// by the conductor, and nobody's guests notice.
    @Suite struct SeizedHostTests {
        @Test func whatASeizedHostTriesHarmsNobodyElse() async throws {
            let attacker = try await Attacker.seize()
            let tenant = try await Tenant.make()
            // One server on each host, so that there is somebody to attack.
            try await Remains.waitUntilNothingIsClaimed()
            _ = try await tenant.create("victim", ["min_count": 4])
            let ids = try await tenant.waitForAll(4).map { try $0.text("id") }
            let place = try await attacker.place(of: ids)
            let victim = try #require(place.first { $0.value == attacker.other }?.key)
            let own = try #require(place.first { $0.value == attacker.host }?.key)

            await attacker.tryToRead()
            await attacker.tryToPublish()
            await attacker.tryToDeclare()
            await attacker.tryOtherPlaces()
            try await attacker.tryTheManagementAPI()
            try await attacker.tryDatabases()
            try await attacker.tryTheAPIs()
            try await attacker.tryForgery(of: victim, own: own)
            try await attacker.tryImpersonation(victim)
            try await attacker.tryReplay(own)
            try await attacker.tryVolume()

            print(attacker.report)
            #expect(attacker.count >= 25)
            // Beside all this the cell works, and everybody's guests are as they were.
            let after = try await tenant.servers()
            #expect(after.count == 4 && after.allSatisfy { $0["status"]?.string == "ACTIVE" })
            #expect(try await attacker.place(of: ids) == place)
            let late = try await tenant.create("beside")
            try await tenant.wait(for: late, "ACTIVE")
            try await tenant.delete(ids + [late])
            await attacker.end()
        }
    }
}

/// Holds the credential of a real agent, and notes what became of each attempt.
private final class Attacker: Sendable {
    let host: String
    let other: String
    private let cell: DevReady.Cell
    private let ready: DevReady
    /// What the host says in truth, so that servers of the tests after this one are where they expect them.
    private let zone: String
    private let bus: RabbitMQConnection
    private let user: String
    private let password: Secret
    private let settings: JSONValue
    private let notes = Notes()

    private final class Notes: Sendable {
        private let lines = Mutex<[String]>([])
        func add(_ line: String) { lines.withLock { $0.append(line) } }
        var all: [String] { lines.withLock { $0 } }
    }

    private init(
        host: String, other: String, cell: DevReady.Cell, ready: DevReady, settings: JSONValue, password: Secret
    ) throws {
        self.host = host
        self.other = other
        self.cell = cell
        self.ready = ready
        self.settings = settings
        self.password = password
        zone = try settings.text("availabilityZone")
        user = try settings.text("bus.user")
        bus = try Self.connection(settings, vhost: try settings.text("bus.vhost"), password)
    }

    static func seize() async throws -> Attacker {
        let ready = try await SharedCloud.ready()
        let cell = try #require(ready.leaves.first)
        let host = try #require(cell.hosts.first)
        let file = try #require(try ready.process("compute-\(host)").configuration)
        let settings = try JSONParser.parse(try SharedCloud.text(file))
        return try Attacker(
            host: host, other: try #require(cell.hosts.last), cell: cell, ready: ready, settings: settings,
            password: Secret(try SharedCloud.text(try settings.text("bus.passwordFile"))))
    }

    func end() async { await bus.close() }

    var count: Int { notes.all.count }
    var report: String {
        notes.all.enumerated().map { "attack \($0 + 1): \($1)" }.joined(separator: "\n")
    }

    /// Where the cell says that servers are.
    func place(of ids: [String]) async throws -> [String: String] {
        let uuids = ids.compactMap { UUID(uuidString: $0) }
        var places: [String: String] = [:]
        for leaf in ready.leaves {
            let rows = try await SharedCloud.query(
                leaf, "select id, host from cell.instances where id = any(\(uuids)) and not is_deleted")
            for row in rows {
                let id: UUID = try row.get("id")
                places[id.uuidString.lowercased()] = try row.get("host")
            }
        }
        return places
    }

    // MARK: The broker

    func tryToRead() async {
        for queue in [
            CellTopology.hostQueue(other), CellTopology.conductorQueue, CellTopology.supervisorQueue,
            CellTopology.parentQueue,
        ] {
            await refused("consume queue \(queue)") {
                try await self.bus.consume(queue: queue, prefetch: 1) { _ in .retry }
            }
        }
    }

    func tryToPublish() async {
        for (what, address) in [
            ("command itself", CellTopology.commandAddress(host: host)),
            ("command another host", CellTopology.commandAddress(host: other)),
            ("report a result as another host", CellTopology.reportAddress(host: other, kind: "result")),
            ("beat as another host", CellTopology.reportAddress(host: other, kind: "heartbeat")),
            ("answer a question put to another host", CellTopology.replyAddress(host: other, asker: "s1")),
            ("tell the parent an event of the cell", CellTopology.eventAddress(kind: "instance.updated")),
            ("write to the conductor's queue", BusAddress(exchange: "", routingKey: CellTopology.conductorQueue)),
            ("write to another host's queue", BusAddress(exchange: "", routingKey: CellTopology.hostQueue(other))),
            ("write by the broker's own topic exchange", BusAddress(exchange: "amq.topic", routingKey: "host.x.y")),
        ] {
            await refused(what) { try await self.publish(BusMessages.envelope("attack"), address) }
        }
        await refused("call the supervisor") {
            _ = try await self.bus.call(
                BusMessages.envelope("attack"), queue: CellTopology.supervisorQueue, timeout: .seconds(10))
        }
    }

    func tryToDeclare() async {
        for (what, topology) in [
            ("declare a queue", BusTopology(queues: [.init("mine")])),
            ("declare an exclusive queue", BusTopology(queues: [.init("mine", life: .exclusive)])),
            ("declare an exchange", BusTopology(exchanges: [.init("mine", .topic)])),
            (
                "hear every report",
                BusTopology(
                    bindings: [
                        .init(
                            exchange: CellTopology.reportsExchange, queue: CellTopology.hostQueue(host), pattern: "#")
                    ])
            ),
            (
                "hear another host's commands",
                BusTopology(bindings: [
                    .init(
                        exchange: CellTopology.commandsExchange, queue: CellTopology.hostQueue(host),
                        pattern: CellTopology.hostKey(other))
                ])
            ),
        ] { await refused(what) { try await self.bus.declare(topology) } }
    }

    func tryOtherPlaces() async {
        for place in ready.cells where place.path != cell.path {
            await refused("enter the virtual host of \(place.path)", codes: [403, 530]) {
                let bus = try Self.connection(self.settings, vhost: place.resource, self.password)
                do {
                    try await bus.publish(
                        BusMessages.envelope("attack"),
                        to: CellTopology.reportAddress(host: self.host, kind: "result"), mandatory: true,
                        timeout: .seconds(10))
                } catch {
                    await bus.close()
                    throw error
                }
            }
        }
    }

    func tryTheManagementAPI() async throws {
        let login = Data("\(user):\(password.reveal())".utf8).base64EncodedString()
        let client = APIClient(
            url: "http://127.0.0.1:\(ready.managementPort)/api/", headers: ["authorization": "Basic \(login)"])
        let vhost = cell.resource
        for (what, method, path) in [
            ("list users", APIClient.Method.get, "users"),
            ("delete another host's queue", .delete, "queues/\(vhost)/\(CellTopology.hostQueue(other))"),
            (
                "purge another host's queue", .delete,
                "queues/\(vhost)/\(CellTopology.hostQueue(other))/contents"
            ),
            ("delete the cell's virtual host", .delete, "vhosts/\(vhost)"),
        ] {
            let answer = try await client.send(method, path)
            #expect(answer.status == 401, "\(what): \(answer.status)")
            notes.add("\(what): the management API answers \(answer.status)")
        }
    }

    // MARK: Databases and APIs

    func tryDatabases() async throws {
        for place in ready.cells {
            let pool = PostgresPool(
                PostgresConfiguration(
                    host: ready.database.host, port: ready.database.port, database: place.resource,
                    user: place.resource, password: .fixed(password), applicationName: "end-to-end test",
                    maximumConnections: 1))
            await #expect("database of \(place.path)") {
                _ = try await pool.query("select 1")
            } throws: {
                notes.add("open the database of \(place.path): \($0)")
                return "\($0)".contains("password authentication failed")
            }
            await pool.close()
        }
    }

    func tryTheAPIs() async throws {
        let anyone = APIClient(url: ready.url)
        for path in ["/compute/v2.1/servers/detail?all_tenants=1", "/cells/v1/cells", "/image/v2/images"] {
            let answer = try await anyone.with("x-auth-token", password.reveal()).send(.get, path)
            #expect(answer.status == 401, "\(path): \(answer.status)")
            notes.add("GET \(path) with its password for a token: \(answer.status)")
        }
        let login = try await anyone.send(
            .post, "/identity/v3/auth/tokens",
            [
                "auth": [
                    "identity": [
                        "methods": ["password"],
                        "password": [
                            "user": [
                                "name": .string(user), "domain": ["id": "default"],
                                "password": .string(password.reveal()),
                            ]
                        ],
                    ]
                ]
            ])
        #expect(login.status == 401)
        notes.add("log in as \(user): \(login.status)")
    }

    // MARK: The conductor

    func tryForgery(of victim: String, own: String) async throws {
        let (saga, victimID) = try await saga(of: victim)
        let failed = StepResult.Outcome.failed(reason: "forged", details: "", isPermanent: true)
        try await counted("forge a result of another host's saga", "foreign") {
            try await self.report(
                StepResult(
                    key: StepKey(saga: saga, step: "spawn", generation: 1), instanceID: victimID, outcome: failed))
        }
        let (mine, _) = try await self.saga(of: own)
        try await counted("give its own saga's result to another host's server", "foreign") {
            try await self.report(
                StepResult(
                    key: StepKey(saga: mine, step: "spawn", generation: 1), instanceID: victimID, outcome: failed))
        }
        try await counted("report on a saga that there is not", "stale") {
            try await self.report(
                StepResult(
                    key: StepKey(saga: SystemIDSource().next(), step: "spawn", generation: 1), instanceID: victimID,
                    outcome: .succeeded(power: .running)))
        }
        try await counted("say that another host's guest has crashed", "foreign") {
            try await self.send(
                GuestLifecycleReport(guest: .init(id: victimID, power: .crashed), seenAt: .now),
                GuestLifecycleReport.kind, "lifecycle")
        }
        try await counted("send what can't be read", "unreadable") {
            try await self.publish(
                Envelope(
                    messageID: UUID(), requestID: "../../etc/passwd", sender: "conductor@\(self.cell.path)",
                    kind: StepResult.kind, body: Data([0, 255, 0x7B])),
                CellTopology.reportAddress(host: self.host, kind: "result"))
        }
    }

    func tryImpersonation(_ victim: String) async throws {
        let victimID = try #require(ServerID(victim))
        try await counted("beat under its own key as another host", "foreign") {
            try await self.send(
                self.heartbeat(of: self.other, provider: SystemIDSource().next(), guests: []), AgentHeartbeat.kind,
                "heartbeat")
        }
        let provider: UUID = try #require(
            try await SharedCloud.query(cell, "select id from cell.hosts where name = \(other)").first?.get("id"))
        // The conductor looks at the newest pulse only, which may be the true agent's.
        try await counted("claim another host's place in placement", "foreign", again: true) {
            try await self.send(
                self.heartbeat(of: self.host, provider: ProviderID(provider), guests: nil), AgentHeartbeat.kind,
                "heartbeat")
        }
        // Taken over by claiming: the guest is listed as running here, and stays where it is (checked at the end).
        let own: UUID = try #require(
            try await SharedCloud.query(cell, "select id from cell.hosts where name = \(host)").first?.get("id"))
        try await send(
            heartbeat(
                of: host, provider: ProviderID(own), guests: [GuestReport(id: victimID, power: .shutdown)]),
            AgentHeartbeat.kind, "heartbeat")
        notes.add("claim another host's guest as its own: it stays where it is, and as it is")
    }

    func tryReplay(_ own: String) async throws {
        let (saga, id) = try await saga(of: own)
        let result = StepResult(
            key: StepKey(saga: saga, step: "spawn", generation: 1), instanceID: id,
            outcome: .failed(reason: "replayed", details: "", isPermanent: true))
        let envelope = try envelope(result, StepResult.kind)
        let address = CellTopology.reportAddress(host: host, kind: "result")
        try await counted("report once more, and otherwise, on a step that is over", "stale") {
            try await self.publish(envelope, address)
        }
        try await counted("send an old message again as it was", "repeated") {
            try await self.publish(envelope, address)
        }
    }

    func tryVolume() async throws {
        let address = CellTopology.reportAddress(host: host, kind: "result")
        try await counted("send a report of 2 MiB", "too-large") {
            try await self.publish(
                Envelope(
                    messageID: UUID(), requestID: "-", sender: "x", kind: StepResult.kind,
                    body: Data(repeating: 32, count: 2 << 20)), address)
        }
        try await counted("flood the conductor with 3,000 reports", "too-many") {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<3_000 {
                    group.addTask { try await self.publish(BusMessages.envelope("attack"), address) }
                }
                try await group.waitForAll()
            }
        }
    }

    // MARK: -

    private func refused(
        _ what: String, codes: Set<Int> = [403], _ body: @escaping @Sendable () async throws -> Void
    ) async {
        do {
            try await body()
            Issue.record("\(what): done")
        } catch let error as BusError {
            #expect(error.refusalCode.map(codes.contains) == true, "\(what): \(error)")
            notes.add("\(what): \(error)")
        } catch {
            Issue.record("\(what): \(error)")
        }
    }

    /// Does something that the broker allows, and waits until the conductor has counted it as `outcome`; meanwhile does it
    /// `again` where it may be missed.
    private func counted(
        _ what: String, _ outcome: String, again: Bool = false, _ body: () async throws -> Void
    ) async throws {
        let before = try await reports(outcome)
        try await body()
        try await until("the conductor counts: \(what)") {
            if try await reports(outcome) > before { return true }
            if again { try await body() }
            return false
        }
        notes.add("\(what): the conductor takes it for \(outcome)")
    }

    private func reports(_ outcome: String) async throws -> Double {
        let name = "conductor-\(cell.path.dropFirst())"
        let ops = try #require(try ready.process(name).ops)
        let text = try await APIClient(url: ops).with("accept", "*/*").send(.get, "/metrics").text
        return text.split(separator: "\n").filter {
            $0.hasPrefix("cellwright_conductor_reports") && $0.contains("\"\(outcome)\"")
        }.compactMap { $0.split(separator: " ").last.flatMap { Double($0) } }.reduce(0, +)
    }

    private func saga(of server: String) async throws -> (SagaID, ServerID) {
        let id = try #require(UUID(uuidString: server))
        let saga: UUID = try #require(
            try await SharedCloud.query(
                cell, "select id from saga.sagas where instance_id = \(id) and name = 'boot'"
            ).first?.get("id"))
        return (SagaID(saga), ServerID(id))
    }

    private func heartbeat(of name: String, provider: ProviderID, guests: [GuestReport]?) -> AgentHeartbeat {
        AgentHeartbeat(
            host: HostName(name), providerID: provider, availabilityZone: zone, sentAt: .now, inventory: nil,
            guests: guests)
    }

    private func report(_ result: StepResult) async throws { try await send(result, StepResult.kind, "result") }

    private func send(_ message: some Encodable, _ kind: String, _ route: String) async throws {
        try await publish(try envelope(message, kind), CellTopology.reportAddress(host: host, kind: route))
    }

    private func envelope(_ message: some Encodable, _ kind: String) throws -> Envelope {
        Envelope(
            messageID: UUID(), requestID: "-", sender: "compute@\(other)", kind: kind,
            body: try JSONEncoder().encode(message))
    }

    private func publish(_ envelope: Envelope, _ address: BusAddress) async throws {
        try await bus.publish(envelope, to: address, mandatory: true, timeout: .seconds(60))
    }

    private static func connection(
        _ settings: JSONValue, vhost: String, _ password: Secret
    ) throws -> RabbitMQConnection {
        try RabbitMQConnection(
            RabbitMQConfiguration(
                host: try settings.text("bus.host"), port: try settings.integer("bus.port"), vhost: vhost,
                user: try settings.text("bus.user"), password: .fixed(password), connectionName: "seized host"))
    }
}

import CloudHarness
import Deployer
import Foundation
import Glibc
import PostgresClient
import Primitives
import TestSupport
import Testing

/// A cell that is ill in every way costs nobody else anything, and its own users get answers at once.
///
/// A cloud of its own: each leaf has its own PostgreSQL and RabbitMQ, so that one can be frozen. Times are printed, never judged here.
@Suite(.serialized, .enabled(if: TestCloud.missing == nil, "\(TestCloud.missing ?? "")"), .timeLimit(.minutes(15)))
struct DownCellTests {
    private static let limit = Duration.seconds(60)

    private enum Fault: String, CaseIterable {
        case databaseFrozen = "database frozen"
        case brokerRefuses = "virtual host refused"
        case brokerFrozen = "broker frozen"
        case supervisorFrozen = "supervisor frozen"
        case supervisorDead = "supervisor dead"

        /// Those that can be at once and mended one by one.
        static let together: [Fault] = [.databaseFrozen, .brokerRefuses, .supervisorDead]
    }

    private struct Cloud {
        let ready: DevReady
        let admin: CloudSession

        var partial: APIClient { admin.compute("2.69") }

        // MARK: Faults

        func cause(_ fault: Fault) async throws {
            switch fault {
            case .databaseFrozen: try signal(SIGSTOP, "postgresql-north")
            case .brokerRefuses: try await limitConnections(0)
            case .brokerFrozen: try signal(SIGSTOP, "rabbitmq-north")
            case .supervisorFrozen: try signal(SIGSTOP, "supervisor-north")
            case .supervisorDead:
                let pid = try #require(try ready.pid(of: "supervisor-north"))
                #expect(FileManager.default.createFile(atPath: hold, contents: nil))
                #expect(kill(pid, SIGKILL) == 0)
            }
        }

        func end(_ fault: Fault) async throws {
            switch fault {
            case .databaseFrozen: try signal(SIGCONT, "postgresql-north")
            case .brokerRefuses: try await limitConnections(-1)
            case .brokerFrozen: try signal(SIGCONT, "rabbitmq-north")
            case .supervisorFrozen: try signal(SIGCONT, "supervisor-north")
            case .supervisorDead: try FileManager.default.removeItem(atPath: hold)
            }
        }

        private var hold: String { "\(ready.holdFolder)/supervisor-north" }

        private func signal(_ signal: Int32, _ process: String) throws {
            let leader = try ready.pid(of: process) ?? ready.process(process).pid
            // A server's helper may have ended since the table was read.
            for pid in ProcessTable.tree(of: leader) { #expect(kill(pid, signal) == 0 || errno == ESRCH) }
        }

        /// As many connections as `count` to north's virtual host; those beyond are closed.
        private func limitConnections(_ count: Int) async throws {
            let cell = try #require(ready.cells.first { $0.path == "/north" })
            let vhost = cell.resource
            let port = try #require(cell.managementPort)
            let login = "\(ready.broker.user):\(try SharedCloud.text(ready.broker.passwordFile))"
            // A connection for each request: the broker closes one that is idle, perhaps as the next is sent.
            let broker = APIClient(
                url: "http://127.0.0.1:\(port)/api/",
                headers: [
                    "authorization": "Basic \(Data(login.utf8).base64EncodedString())", "connection": "close",
                ])
            let set = try await broker.with("accept", "*/*").send(
                .put, "vhost-limits/\(vhost)/max-connections", ["value": JSONValue(count)])
            #expect(set.status == 204, "\(set.text)")
            guard count == 0 else { return }
            try await until("nobody is connected", within: DownCellTests.limit) {
                let open = try await broker.get("vhosts/\(vhost)/connections").array ?? []
                for connection in open {
                    let name = try connection.text("name").addingPercentEncoding(withAllowedCharacters: .alphanumerics)
                    _ = try await broker.with("accept", "*/*").send(.delete, "connections/\(name ?? "")")
                }
                return open.isEmpty
            }
        }

        // MARK: Servers

        func rootDatabase() async throws -> PostgresPool {
            PostgresPool(
                PostgresConfiguration(
                    host: ready.database.host, port: ready.database.port, database: try ready.root.resource,
                    user: ready.database.user,
                    password: .fixed(Secret(try SharedCloud.text(ready.database.passwordFile))),
                    applicationName: "end-to-end test", maximumConnections: 1))
        }

        func order(_ name: String, zone: String) async throws -> JSONValue {
            let image = try await TinyImage.create(in: admin, name: "tiny-\(zone)")
            let flavors = try await admin.compute.get("/flavors").list("flavors")
            let networks = try await admin.network.get("/networks").list("networks")
            let flavor = try #require(flavors.first { $0["name"]?.string == "m1.nano" })
            let network = try #require(networks.first { $0["name"]?.string == "demo-net" })
            return [
                "server": [
                    "name": .string(name), "flavorRef": .string(try flavor.text("id")), "imageRef": .string(image),
                    "availability_zone": .string(zone), "networks": [["uuid": .string(try network.text("id"))]],
                ]
            ]
        }

        func boot(_ count: Int, zone: String) async throws -> [String] {
            var ids: [String] = []
            for index in 0..<count {
                let order = try await order("\(zone)-\(index)", zone: zone)
                ids.append(try await admin.compute.expect(202, from: .post, "/servers", order).text("server.id"))
            }
            return ids
        }

        /// What a server went through, and what its cell's processes said last.
        func story(of id: String) async throws -> String {
            var parts = [try await admin.compute.send(.get, "/servers/\(id)").text]
            let actions = try await admin.compute.get("/servers/\(id)/os-instance-actions").list("instanceActions")
            for action in actions {
                let request = try action.text("request_id")
                parts.append(try await admin.compute.send(.get, "/servers/\(id)/os-instance-actions/\(request)").text)
            }
            for process in ready.processes where process.name.contains("south") {
                let log = try SharedCloud.text("\(ready.folder)/log/\(process.name).log")
                parts.append("\(process.name):\n" + log.split(separator: "\n").suffix(20).joined(separator: "\n"))
            }
            return parts.joined(separator: "\n")
        }

        /// How many servers count against the project's quota.
        func used() async throws -> Int {
            try await admin.compute.get("/limits").integer("limits.absolute.totalInstancesUsed")
        }

        /// Status by id.
        func statuses(_ compute: APIClient) async throws -> [String: String] {
            let servers = try await compute.get("/servers/detail").list("servers")
            return try servers.reduce(into: [:]) { $0[try $1.text("id")] = try $1.text("status") }
        }
    }

    @Test func everyIllnessOfOneCellLeavesTheOthersAlone() async throws {
        let process = try await TestCloud.start(arguments: [
            "--database-per-cell", "--broker-per-cell", "--hosts-per-cell", "1",
        ])
        do {
            try await fall(
                Cloud(
                    ready: process.ready,
                    admin: try await CloudSession.open(
                        CloudLogin(cloud: "cellwright-admin", file: process.ready.cloudsFile))))
        } catch {
            await process.end()
            throw error
        }
        await process.end()
    }

    private func fall(_ cloud: Cloud) async throws {
        var north = try await cloud.boot(7, zone: "north")
        let south = try await cloud.boot(3, zone: "south")
        try await until("all are ACTIVE", within: Self.limit) {
            let statuses = try await cloud.statuses(cloud.admin.compute)
            return statuses.count == 10 && statuses.values.allSatisfy { $0 == "ACTIVE" }
        }
        try await measure(cloud, south, "healthy")
        for faults in Fault.allCases.map({ [$0] }) + [Fault.together] {
            let name = faults.map(\.rawValue).joined(separator: " + ")
            let begin = ContinuousClock.now
            for fault in faults { try await cloud.cause(fault) }
            try await until("\(name) is known", within: Self.limit) {
                let statuses = try await cloud.statuses(cloud.partial)
                return north.allSatisfy { statuses[$0] == "UNKNOWN" }
            }
            print("\(name): known after \(ContinuousClock.now - begin)")
            try await expectCare(cloud, north, south)
            try await measure(cloud, south, name)
            let victim = north.removeFirst()
            try await cloud.admin.compute.expect(204, from: .delete, "/servers/\(victim)")

            for fault in faults.reversed() { try await cloud.end(fault) }
            let mended = ContinuousClock.now
            try await until("\(name) is over", within: Self.limit) {
                let statuses = try await cloud.statuses(cloud.partial)
                guard north.allSatisfy({ statuses[$0] == "ACTIVE" }) && statuses[victim] == nil else { return false }
                // The cell has ended it. When the root has heard so too, it no longer counts; until then the next illness
                // would show it once more, by what the root knows.
                return try await cloud.used() == north.count + south.count
            }
            print("\(name): current again \(ContinuousClock.now - mended) after its end")
        }
        try await expectLossIsMadeGood(cloud, north + south)
        try await expectExactQuota(cloud)
    }

    /// The directory is emptied while lists run: each answer is whole or says that it is not.
    private func expectLossIsMadeGood(_ cloud: Cloud, _ ids: [String]) async throws {
        let pool = try await cloud.rootDatabase()
        _ = try await pool.execute("truncate directory.instances")
        var partial = 0
        try await until("the directory is whole again", within: Self.limit) {
            let answer = try await cloud.partial.send(.get, "/servers/detail")
            #expect(answer.status == 200)
            let found = try answer.json().list("servers").map { try $0.text("id") }
            if answer.header("x-cellwright-incomplete") == nil {
                #expect(Set(found) == Set(ids), "an answer that does not say that it is partial is whole")
                return true
            }
            partial += 1
            return false
        }
        print("emptied directory: whole again after \(partial) partial answers")
        await pool.close()
    }

    /// 200 creates at once, at a quota of 50, through two API processes, one cell down: exactly 50.
    private func expectExactQuota(_ cloud: Cloud) async throws {
        let others = try await cloud.statuses(cloud.admin.compute)
        for id in others.keys { try await cloud.admin.compute.expect(204, from: .delete, "/servers/\(id)") }
        try await until("nothing is left", within: Self.limit) {
            try await cloud.statuses(cloud.admin.compute).isEmpty
        }
        // The cell no longer has them; the root counts them until the events say so.
        try await until("nothing counts", within: Self.limit) {
            try await cloud.used() == 0
        }
        try await cloud.admin.compute.expect(
            200, from: .put, "/os-quota-sets/\(cloud.admin.projectID)",
            ["quota_set": ["instances": 50, "cores": 100, "ram": 102_400]])
        try await cloud.admin.network.expect(
            200, from: .put, "/quotas/\(cloud.admin.projectID)", ["quota": ["port": 1000]])
        let order = try await cloud.order("quota", zone: "south")
        try await cloud.cause(.supervisorDead)
        let second = try SecondAPI(cloud.ready)
        defer { second.end() }
        try await second.waitUntilReady()
        var clients = [cloud.admin.compute, cloud.admin.compute]
        clients[1].url = second.url + "/compute/v2.1"
        let answers = try await withThrowingTaskGroup(of: Int.self) { [clients] group in
            for index in 0..<200 {
                group.addTask { try await clients[index % 2].send(.post, "/servers", order).status }
            }
            return try await group.reduce(into: [Int: Int]()) { $0[$1, default: 0] += 1 }
        }
        #expect(answers == [202: 50, 403: 150])
        let used = try await cloud.used()
        #expect(used == 50)
        for id in try await cloud.statuses(cloud.partial).keys {
            try await cloud.admin.compute.expect(204, from: .delete, "/servers/\(id)")
        }
        try await cloud.end(.supervisorDead)
        try await until("nothing counts any more", within: .seconds(120)) {
            let absolute = try await cloud.admin.compute.get("/limits")
            return try ["totalInstancesUsed", "totalCoresUsed", "totalRAMUsed"].allSatisfy {
                try absolute.integer("limits.absolute.\($0)") == 0
            }
        }
    }

    /// Another API process of the same cloud, at a port of its own.
    private struct SecondAPI {
        let url: String
        private let process = Process()
        private let settings: String

        init(_ ready: DevReady) throws {
            var ports = DevPorts(first: 30_000 + Int(getpid()) % 900)
            let port = try ports.take()
            url = "http://127.0.0.1:\(port)"
            let file = try #require(try ready.process("api").configuration)
            var document = try JSONParser.parse(try SharedCloud.text(file)).object ?? [:]
            var listen = document["listen"]?.object ?? [:]
            listen["port"] = JSONValue(port)
            document["listen"] = .object(listen)
            settings = "\(ready.folder)/second-api.json"
            try JSONValue.object(document).text.write(toFile: settings, atomically: true, encoding: .utf8)
            process.executableURL = URL(filePath: "\(TestCloud.binaries)/cellwright-api")
            process.arguments = ["--config", settings]
            process.standardOutput = FileHandle.nullDevice
            process.standardError = FileHandle.nullDevice
            try process.run()
        }

        func waitUntilReady() async throws {
            try await until("the second API answers") {
                do { return try await APIClient(url: url).send(.get, "/healthz").status == 200 } catch { return false }
            }
        }

        func end() { process.terminate() }
    }

    /// What everybody must get while north is down.
    private func expectCare(_ cloud: Cloud, _ north: [String], _ south: [String]) async throws {
        // A machine that stands still for longer than a cell may be silent makes south UNKNOWN too, for a moment.
        try await until(
            "south is whole and north alone unknown; older clients do not know partial records", within: .seconds(5)
        ) {
            let statuses = try await cloud.statuses(cloud.partial)
            let old = try await cloud.statuses(cloud.admin.compute("2.68"))
            return south.allSatisfy { statuses[$0] == "ACTIVE" } && north.allSatisfy { statuses[$0] == "UNKNOWN" }
                && Set(old.keys) == Set(south)
        }
        let brief = try await cloud.partial.get("/servers?name=north&limit=2&sort_key=display_name&sort_dir=asc")
        let first = try brief.list("servers").map { try $0.text("id") }
        #expect(first == Array(north.prefix(2)), "\(brief.text)")
        let id = try #require(north.first)
        #expect(try await cloud.partial.get("/servers/\(id)").text("server.status") == "UNKNOWN")
        for (compute, request): (APIClient, (APIClient.Method, String, JSONValue?)) in [
            (cloud.admin.compute("2.68"), (.get, "/servers/\(id)", nil)),
            (cloud.partial, (.post, "/servers/\(id)/action", ["os-stop": .null])),
            (cloud.partial, (.put, "/servers/\(id)", ["server": ["name": "new"]])),
        ] {
            let answer = try await compute.send(request.0, request.1, request.2)
            #expect(answer.status == 503 && answer.header("retry-after") != nil, "\(request.1) \(answer.status)")
        }
        try await cloud.admin.compute.expect(
            202, from: .post, "/servers/\(south[0])/action", ["reboot": ["type": "HARD"]])
        do {
            try await until("a server of the other cell is rebooted", within: Self.limit) {
                try await cloud.statuses(cloud.partial)[south[0]] == "ACTIVE"
            }
        } catch {
            Issue.record("\(try await cloud.story(of: south[0]))")
            throw error
        }
    }

    /// Prints how long requests take that have nothing to do with north, and lists.
    private func measure(_ cloud: Cloud, _ south: [String], _ name: String) async throws {
        for (label, path) in [
            ("show", "/servers/\(south[1])"), ("list", "/servers/detail"), ("flavors", "/flavors"),
        ] {
            var times: [Double] = []
            for _ in 0..<100 {
                let start = ContinuousClock.now
                let answer = try await cloud.partial.send(.get, path)
                times.append((ContinuousClock.now - start) / .milliseconds(1))
                #expect(answer.status == 200)
            }
            times.sort()
            print("\(name): \(label) p50 \(times[49]) ms, p99 \(times[98]) ms")
        }
    }
}

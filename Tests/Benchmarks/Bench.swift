import CloudHarness
import Deployer
import FoundationEssentials
import Primitives

/// How much of everything is done.
struct BenchPlan: Sendable {
    var boots: Int
    /// Boots and deletes at once.
    var concurrency: Int
    var rest: Duration
    var warmUp = 8
    var shows = 1000
    var lists = 50
    var listed = 100
    var tokens = 50
}

/// The measurements, one after the other, on one cloud.
struct Bench: Sendable {
    /// How often a client that waits for a server looks.
    private static let pollInterval = Duration.milliseconds(100)
    private static let bootLimit = Duration.seconds(60)

    let ready: DevReady
    let plan: BenchPlan

    func run() async throws -> Figures {
        var figures = Figures()
        figures.add("start.s", ready.seconds)
        figures.add(try await idle())
        let caller = try await prepare()
        let warm = try await boot(plan.warmUp, caller)
        try await delete(warm.ids, caller)

        let start = try ProcessUsage.now(ready)
        let clock = ContinuousClock.now
        let booted = try await boot(plan.boots, caller)
        let seconds = (ContinuousClock.now - clock) / .seconds(1)
        figures.add(try ProcessUsage.now(ready).figures("boot", since: start, per: plan.boots))
        figures.add("boot.p50.ms", booted.samples.milliseconds(0.5))
        figures.add("boot.p95.ms", booted.samples.milliseconds(0.95))
        figures.add("boot.rate.perSecond", Double(plan.boots) / seconds)

        figures.add(try await shows(booted.ids[0], caller))
        figures.add(try await lists(caller))
        figures.add(try await tokens())
        let beforeDelete = try ProcessUsage.now(ready)
        try await delete(booted.ids, caller)
        figures.add(try ProcessUsage.now(ready).figures("delete", since: beforeDelete, per: plan.boots))
        figures.add(try ProcessUsage.now(ready).memoryFigures("after"))
        return figures
    }

    // MARK: Rest

    private func idle() async throws -> Figures {
        try await Task.sleep(for: plan.rest)
        let start = try ProcessUsage.now(ready)
        try await Task.sleep(for: plan.rest)
        let end = try ProcessUsage.now(ready)
        var figures = end.memoryFigures("idle")
        // Of one second of rest.
        figures.add(end.figures("idle", since: start, per: Int(plan.rest / .seconds(1))))
        return figures
    }

    // MARK: Servers

    struct Caller: Sendable {
        let session: CloudSession
        let flavorID: String
        let imageID: String
        let networkID: String
    }

    private var login: CloudLogin {
        get throws { try CloudLogin(cloud: "cellwright-admin", file: ready.cloudsFile) }
    }

    /// The administrator's project, with room for the servers and a network of its own.
    func prepare() async throws -> Caller {
        let session = try await CloudSession.open(try login)
        let room = JSONValue(10 * plan.boots + 100)
        try await session.compute.expect(
            200, from: .put, "/os-quota-sets/\(session.projectID)",
            ["quota_set": ["instances": room, "cores": room, "ram": JSONValue(1024 * (10 * plan.boots + 100))]])
        try await session.network.expect(
            200, from: .put, "/quotas/\(session.projectID)", ["quota": ["port": room]])
        let network = try await session.network.expect(201, from: .post, "/networks", ["network": ["name": "bench"]])
        let networkID = try network.text("network.id")
        try await session.network.expect(
            201, from: .post, "/subnets",
            ["subnet": ["network_id": .string(networkID), "ip_version": 4, "cidr": "10.98.0.0/20"]])
        let image = try await session.image.expect(
            201, from: .post, "/images", ["name": "bench", "disk_format": "raw", "container_format": "bare"])
        let imageID = try image.text("id")
        let sector = [UInt8](repeating: 0, count: 510) + [0x55, 0xAA]
        let upload = try await session.image.send(
            .put, "/images/\(imageID)/file", bytes: sector, type: "application/octet-stream")
        guard upload.status == 204 else { throw UnexpectedAnswer(request: "PUT image file", answer: upload) }
        let flavors = try await session.compute.get("/flavors").list("flavors")
        guard let flavor = try flavors.first?.text("id") else { throw HarnessFailure("the cloud has no flavors") }
        return Caller(session: session, flavorID: flavor, imageID: imageID, networkID: networkID)
    }

    /// From the request until a client that looks now and then sees it ACTIVE.
    private func bootOne(_ name: String, _ caller: Caller) async throws -> (id: String, duration: Duration) {
        let start = ContinuousClock.now
        let compute = caller.session.compute
        let order: JSONValue = [
            "server": [
                "name": .string(name), "flavorRef": .string(caller.flavorID), "imageRef": .string(caller.imageID),
                "networks": [["uuid": .string(caller.networkID)]],
            ]
        ]
        let id = try await compute.expect(202, from: .post, "/servers", order).text("server.id")
        while ContinuousClock.now - start < Self.bootLimit {
            try await Task.sleep(for: Self.pollInterval)
            let server = try await compute.get("/servers/\(id)")
            switch try server.text("server.status") {
            case "ACTIVE": return (id, ContinuousClock.now - start)
            case "ERROR": throw HarnessFailure("a server is in ERROR: \(server.text)")
            default: continue
            }
        }
        throw HarnessFailure("a server is not ACTIVE after \(Self.bootLimit)")
    }

    func boot(_ count: Int, _ caller: Caller) async throws -> (ids: [String], samples: Samples) {
        var ids: [String] = []
        var samples = Samples()
        try await withThrowingTaskGroup(of: (id: String, duration: Duration).self) { group in
            for index in 0..<count {
                if index >= plan.concurrency, let done = try await group.next() {
                    ids.append(done.id)
                    samples.add(done.duration)
                }
                group.addTask { try await bootOne("bench-\(index)", caller) }
            }
            for try await done in group {
                ids.append(done.id)
                samples.add(done.duration)
            }
        }
        return (ids, samples)
    }

    private func delete(_ ids: [String], _ caller: Caller) async throws {
        let compute = caller.session.compute
        try await withThrowingTaskGroup(of: Void.self) { group in
            for (index, id) in ids.enumerated() {
                if index >= plan.concurrency { try await group.next() }
                group.addTask { try await compute.expect(204, from: .delete, "/servers/\(id)") }
            }
            try await group.waitForAll()
        }
        let end = ContinuousClock.now + Self.bootLimit
        while try await !compute.get("/servers?limit=1").list("servers").isEmpty {
            guard ContinuousClock.now < end else {
                throw HarnessFailure("servers are not gone after \(Self.bootLimit)")
            }
            try await Task.sleep(for: Self.pollInterval)
        }
    }

    // MARK: Reads

    private func shows(_ id: String, _ caller: Caller) async throws -> Figures {
        try await reads("show", count: plan.shows) { _ = try await caller.session.compute.get("/servers/\(id)") }
    }

    private func lists(_ caller: Caller) async throws -> Figures {
        let compute = caller.session.compute
        let shown = try await compute.get("/servers/detail?limit=\(plan.listed)").list("servers").count
        guard shown == min(plan.listed, plan.boots) else { throw HarnessFailure("the list has \(shown) servers") }
        return try await reads("list\(shown)", count: plan.lists) {
            let answer = try await compute.send(.get, "/servers/detail?limit=\(plan.listed)")
            guard answer.status == 200 else { throw UnexpectedAnswer(request: "GET list", answer: answer) }
        }
    }

    private func tokens() async throws -> Figures {
        let login = try login
        return try await reads("token", count: plan.tokens) { _ = try await CloudSession.open(login) }
    }

    /// Latency and CPU of one call after the other.
    func reads(_ name: String, count: Int, _ body: () async throws -> Void) async throws -> Figures {
        for _ in 0..<max(1, count / 10) { try await body() }
        var samples = Samples()
        let start = try ProcessUsage.now(ready)
        for _ in 0..<count { try await samples.measure(body) }
        let end = try ProcessUsage.now(ready)
        var figures = Figures()
        figures.add("\(name).p50.ms", samples.milliseconds(0.5))
        figures.add("\(name).p95.ms", samples.milliseconds(0.95))
        figures.add("\(name).p99.ms", samples.milliseconds(0.99))
        figures.add(end.figures(name, since: start, per: count))
        return figures
    }
}

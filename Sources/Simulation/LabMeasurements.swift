package import CloudModel
import FoundationEssentials
import Primitives

/// What is asked of a laboratory's API while a clock runs.
package struct LabMeasurements: Sendable {
    static let pageSize = 100
    /// Pages of one kind before it is another's turn.
    static let turn = 5
    /// Boots accepted at once.
    static let bootConcurrency = 8
    static let pollInterval: Duration = .milliseconds(100)
    /// How often something that is waited for tells how far it is.
    static let tellInterval: Duration = .seconds(10)
    /// How long the last boot may take, and a dead cell may go unnoticed.
    static let patience: Duration = .seconds(120)

    /// The newest servers, all in the first cell; the oldest, in all cells in turn.
    package static let fewPath = "/compute/v2.1/servers/detail?limit=\(pageSize)"
    package static let spreadPath = fewPath + "&sort_key=created_at&sort_dir=asc"
    /// Asks no cell: how quick the machine was while the pages were asked for.
    package static let referencePath = "/compute/v2.1/flavors/detail"

    /// How far something is that a laboratory waits for.
    package struct Progress: Sendable, Equatable {
        package var count: Int
        package var total: Int
        /// What is known of those that are missing.
        package var detail: String?

        package init(_ count: Int, of total: Int, detail: String? = nil) {
            self.count = count
            self.total = total
            self.detail = detail
        }
    }

    let client: LabClient
    let clock: ContinuousClock
    let say: @Sendable (String) -> Void

    /// - Parameter say: takes lines for whoever waits.
    package init(client: LabClient, clock: ContinuousClock, say: @escaping @Sendable (String) -> Void) {
        self.client = client
        self.clock = clock
        self.say = say
    }

    /// Takes the bounds off the project's quota.
    package func liftQuota() async throws {
        _ = try await client.json(
            "PUT", "/compute/v2.1/os-quota-sets/\(client.projectID)",
            ["quota_set": ["instances": -1, "cores": -1, "ram": -1]])
    }

    /// The smallest flavor there is.
    package func flavor() async throws -> Flavor {
        let flavors = try await client.json("GET", "/compute/v2.1/flavors/detail")["flavors"]?.array ?? []
        let known = flavors.compactMap { flavor -> Flavor? in
            guard let id = flavor["id"]?.string, let name = flavor["name"]?.string ?? flavor["original_name"]?.string,
                let vcpus = flavor["vcpus"]?.integer, let memory = flavor["ram"]?.integer,
                let disk = flavor["disk"]?.integer
            else { return nil }
            return Flavor(id: id, name: name, vcpus: Int(vcpus), memoryMiB: Int(memory), diskGiB: Int(disk))
        }
        guard let smallest = known.min(by: { $0.memoryMiB < $1.memoryMiB }) else {
            throw LabClient.Failure(description: "the topology's bootstrap names no flavor")
        }
        return smallest
    }

    /// Until there are as many as there should be, at most `limit`; tells how far it is now and then.
    /// - Parameter what: with the numbers before it, such as "cells are up".
    package func waitUntil(_ what: String, limit: Duration, _ progress: () async throws -> Progress) async throws {
        let start = clock.now
        var toldAt = start
        while true {
            let state = try await progress()
            if state.count == state.total { return }
            let now = clock.now
            let text =
                "\(state.count) of \(state.total) \(what) after \(Int((now - start) / .seconds(1))) s"
                + (state.detail.map { " (\($0))" } ?? "")
            guard now - start < limit else { throw LabClient.Failure(description: "the laboratory gives up: \(text)") }
            if now - toldAt >= Self.tellInterval {
                say(text)
                toldAt = now
            }
            try await clock.sleep(for: Self.pollInterval)
        }
    }

    // MARK: Lists

    /// A kind of page: how long it took, and what was used for one (milliseconds).
    package struct Pages: Sendable {
        package var latency: LabRun.Latency
        package var used: Double
    }

    /// One page after the other, some of each kind in turn: a machine that others share is quicker at one moment than at
    /// the next, and so all kinds have their part of each.
    /// - Parameter used: what has been used until now (seconds).
    package func pages(_ paths: [String], count: Int, used: () -> Double) async throws -> [Pages] {
        for path in paths { for _ in 0..<max(3, count / 10) { _ = try await client.bytes("GET", path) } }
        var seconds = paths.map { _ in [Double]() }
        var uses = paths.map { _ in 0.0 }
        while let done = seconds.last?.count, done < count {
            for (index, path) in paths.enumerated() {
                let before = used()
                for _ in 0..<min(Self.turn, count - done) {
                    seconds[index].append(try await timed { _ = try await client.bytes("GET", path) })
                }
                uses[index] += used() - before
            }
        }
        return zip(seconds, uses).map { seconds, used in
            Pages(latency: LabRun.Latency(seconds), used: LabRun.rounded(used * 1000 / Double(count)))
        }
    }

    /// In how many cells the servers of the spread page are, by their hosts' names.
    package func cells(of path: String, cellOfHost: (String) -> String) async throws -> Int {
        let servers = try await client.json("GET", path)["servers"]?.array ?? []
        let whole = servers.filter { $0["status"]?.string == "ACTIVE" }
        guard whole.count == Self.pageSize || whole.count == servers.count, !servers.isEmpty else {
            throw LabClient.Failure(
                description: "\(servers.count - whole.count) of \(servers.count) servers of a page are not ACTIVE")
        }
        return Set(servers.compactMap { $0["OS-EXT-SRV-ATTR:host"]?.string }.map(cellOfHost)).count
    }

    // MARK: Boots

    /// Boots servers and waits until none is in BUILD.
    package func boots(_ count: Int, flavor: Flavor, image: String) async throws -> LabRun.Boots {
        let prefix = "booted-"
        let start = clock.now
        let seconds = try await withThrowingTaskGroup(of: Double.self) { group in
            var seconds: [Double] = []
            for number in 0..<count {
                if number >= Self.bootConcurrency, let one = try await group.next() { seconds.append(one) }
                group.addTask {
                    let order: JSONValue = [
                        "server": [
                            "name": .string("\(prefix)\(number)"), "flavorRef": .string(flavor.id),
                            "imageRef": .string(image), "networks": "none",
                        ]
                    ]
                    return try await timed { _ = try await client.bytes("POST", "/compute/v2.1/servers", order) }
                }
            }
            for try await one in group { seconds.append(one) }
            return seconds
        }
        try await waitUntil("booted servers are no longer in BUILD", limit: Self.patience) {
            let path = "/compute/v2.1/servers?limit=1000&status=BUILD"
            let building = try await client.json("GET", path)["servers"]?.array?.count ?? 0
            return Progress(count - min(count, building), of: count)
        }
        let wall = (clock.now - start) / .seconds(1)
        let failed = try await client.json("GET", "/compute/v2.1/servers?limit=1000&status=ERROR&name=\(prefix)")
        return LabRun.Boots(
            count: count, failed: failed["servers"]?.array?.count ?? 0,
            perSecond: LabRun.rounded(Double(count) / wall), accept: LabRun.Latency(seconds))
    }

    // MARK: A dead cell

    /// - Parameters:
    ///   - server: one of a server in the cell that dies.
    ///   - others: a list of servers elsewhere.
    ///   - kill: ends the cell's supervisor.
    package func deadCell(
        server: String, others: String, kill: () -> Void
    ) async throws -> LabRun.DeadCell {
        let path = "/compute/v2.1/servers/detail?limit=1&uuid=\(server)"
        kill()
        let start = clock.now
        var slowest = 0.0
        var elsewhere: [Double] = []
        while true {
            var status: String?
            let seconds = try await timed {
                status = try await client.json("GET", path)["servers"]?.array?.first?["status"]?.string
            }
            slowest = max(slowest, seconds)
            if status == "UNKNOWN" { break }
            guard clock.now - start < Self.patience else {
                throw LabClient.Failure(description: "a dead cell is not noticed after \(Self.patience)")
            }
            elsewhere.append(try await timed { _ = try await client.bytes("GET", others) })
            try await clock.sleep(for: .milliseconds(20))
        }
        return LabRun.DeadCell(
            noticedAfter: LabRun.rounded((clock.now - start) / .seconds(1)),
            slowestList: LabRun.rounded(slowest * 1000), others: LabRun.Latency(elsewhere))
    }

    private func timed(_ body: () async throws -> Void) async rethrows -> Double {
        let start = clock.now
        try await body()
        return (clock.now - start) / .seconds(1)
    }
}

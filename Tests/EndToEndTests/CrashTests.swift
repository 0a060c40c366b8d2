import CloudHarness
import Deployer
import FoundationEssentials
import Glibc
import Primitives
import PostgresClient
import Testing

extension EndToEndTests {
    /// Processes die by SIGKILL while many servers are on their way; each comes back by itself and the work ends well.
    @Suite struct CrashTests {
        private static let count = 24
        /// Requests in flight at once.
        private static let concurrency = 6
        private static let limit = Duration.seconds(90)

        @Test(arguments: [
            ["conductor-north"], ["compute-north-1"], ["supervisor-north"], ["supervisor-root"], ["api"],
            [
                "conductor-north", "conductor-south", "compute-north-1", "compute-north-2", "compute-south-1",
                "compute-south-2", "supervisor-north", "supervisor-south", "supervisor-root", "api",
            ],
        ]) func killedInTheMiddleOfBootsAndOfDeletes(_ victims: [String]) async throws {
            let tenant = try await Tenant.make()
            let ids = try await boot(tenant, killing: victims)
            #expect(ids.count >= 6)
            try await delete(ids, of: tenant, killing: victims)
            try await Remains.waitUntilNone(of: ids, within: Self.limit)
        }

        /// - Returns: the servers that are ACTIVE in the end: at least all that were accepted.
        private func boot(_ tenant: Tenant, killing victims: [String]) async throws -> [String] {
            let pids = try await pids(of: victims)
            let agents = try await frozenAgents()
            let accepted = try await alongside(
                {
                    try await kill(pids, thawing: agents, when: "some are ACTIVE and others are not", of: tenant) {
                        $0.active >= 1 && $0.active < $0.rows
                    }
                },
                {
                    try await inParallel((0..<Self.count).map { "crash-\($0)" }) { name in
                        try await answered {
                            try await tenant.session.compute.send(.post, "/servers", tenant.order(name))
                        }
                        .map { try $0.expecting(202).text("server.id") }
                    }
                }
            ).compactMap { $0 }
            if !victims.contains("api") { #expect(accepted.count == Self.count) }
            var listed: [String] = []
            try await until("every server is ACTIVE", within: Self.limit) {
                guard let list = try await answered({ try await tenant.session.compute.send(.get, "/servers/detail") }),
                    list.status == 200
                else { return false }
                let servers = try list.json().list("servers")
                listed = try servers.map { try $0.text("id") }
                guard Set(accepted).isSubset(of: listed) else { return false }
                if let failed = servers.first(where: { $0["status"] == "ERROR" }) {
                    throw HarnessFailure("a server is in ERROR: \(failed["fault"]?.text ?? failed.text)")
                }
                return servers.allSatisfy { $0["status"] == "ACTIVE" }
            }
            try await expectOneClaimEach(listed)
            return listed
        }

        private func delete(_ ids: [String], of tenant: Tenant, killing victims: [String]) async throws {
            let pids = try await pids(of: victims)
            let agents = try await frozenAgents()
            _ = try await alongside(
                {
                    try await kill(pids, thawing: agents, when: "some are on their way, not all gone", of: tenant) {
                        $0.rows >= 1 && ($0.gone >= 1 || $0.deleting >= 1)
                    }
                },
                {
                    try await inParallel(ids) { id in
                        // As a client does that got no answer.
                        try await until("a delete is answered", within: Self.limit) {
                            let answer = try await answered {
                                try await tenant.session.compute.send(.delete, "/servers/\(id)")
                            }
                            return answer?.status == 204 || answer?.status == 404
                        }
                        return nil
                    }
                })
            // Of a list, what is in a cell that is still away would be missing too.
            try await until("nobody knows them", within: Self.limit) {
                for id in ids {
                    let answer = try await answered { try await tenant.session.compute.send(.get, "/servers/\(id)") }
                    guard answer?.status == 404 else { return false }
                }
                return true
            }
            #expect(try await tenant.servers().isEmpty)
        }

        /// Each server has its allocation at the host that it is on, however often it was tried.
        private func expectOneClaimEach(_ ids: [String]) async throws {
            let ready = try await SharedCloud.ready()
            let wrong = try await SharedCloud.query(
                try ready.root,
                """
                select i.id::text from directory.instances i where i.id = any(\(ids.compactMap { UUID(uuidString: $0) }))
                and (select array_agg(distinct p.name) from placement.allocations a
                    join placement.providers p on p.id = a.provider_id where a.consumer_id = i.id)
                    is distinct from array[i.host]
                """
            ).column(as: String.self)
            #expect(wrong.isEmpty)
        }

        // MARK: Parts

        private struct Progress {
            var rows = 0
            var active = 0
            var deleting = 0
            var gone = 0
        }

        /// Looked up beforehand: it takes a moment, and the middle is soon over.
        private func pids(of victims: [String]) async throws -> [Int32] {
            let ready = try await SharedCloud.ready()
            var pids: [Int32] = []
            for victim in victims {
                // One that was killed before may only now be started again.
                try await until("\(victim) runs", within: Self.limit) { try ready.pid(of: victim) != nil }
                pids.append(try #require(try ready.pid(of: victim), "\(victim)"))
            }
            return pids
        }

        /// All agents but one, which stand still until they are thawed: so the middle lasts until it is seen.
        private func frozenAgents() async throws -> [Int32] {
            let agents = try await pids(of: ["compute-north-1", "compute-north-2", "compute-south-1"])
            for agent in agents { #expect(Glibc.kill(agent, SIGSTOP) == 0) }
            return agents
        }

        /// Kills every victim as soon as the directory shows what `isMiddle` asks for.
        private func kill(
            _ pids: [Int32], thawing agents: [Int32], when what: String, of tenant: Tenant,
            _ isMiddle: (Progress) -> Bool
        ) async throws {
            // One that was killed is gone.
            defer { for agent in agents { _ = Glibc.kill(agent, SIGCONT) } }
            let ready = try await SharedCloud.ready()
            let pool = try await SharedCloud.database(of: try ready.root)
            let end = ContinuousClock.now + Self.limit
            var progress = Progress()
            repeat {
                let rows = try await pool.query(
                    """
                    select count(*) filter (where deleted_at is null) as rows,
                        count(*) filter (where deleted_at is null and vm_state = 'active') as active,
                        count(*) filter (where deleted_at is null and task_state = 'deleting') as deleting,
                        count(*) filter (where deleted_at is not null) as gone
                    from directory.instances where project_id = \(tenant.session.projectID)
                    """)
                if let row = rows.first {
                    progress = Progress(
                        rows: try row.get("rows"), active: try row.get("active"), deleting: try row.get("deleting"),
                        gone: try row.get("gone"))
                }
                if isMiddle(progress) || progress.gone > 0 && progress.rows == 0 { break }
                try await Task.sleep(for: .milliseconds(5))
            } while ContinuousClock.now < end
            await pool.close()
            #expect(isMiddle(progress), "waited in vain until \(what): \(progress)")
            for pid in pids { #expect(Glibc.kill(pid, SIGKILL) == 0) }
        }

        /// Nil when the connection was refused or lost, as it is while the API is away.
        private func answered(_ body: () async throws -> APIAnswer) async throws -> APIAnswer? {
            do {
                let answer = try await body()
                // A cell's supervisor that is away: the API says so.
                return answer.status == 503 ? nil : answer
            } catch is HarnessFailure {
                throw HarnessFailure("no answer")
            } catch {
                return nil
            }
        }

        private func inParallel(
            _ items: [String], _ body: @escaping @Sendable (String) async throws -> String?
        ) async throws -> [String?] {
            try await withThrowingTaskGroup(of: String?.self) { group in
                var answers: [String?] = []
                for (index, item) in items.enumerated() {
                    if index >= Self.concurrency, let answer = try await group.next() { answers.append(answer) }
                    group.addTask { try await body(item) }
                }
                for try await answer in group { answers.append(answer) }
                return answers
            }
        }

        /// Runs both at once; both must end.
        private func alongside<Result: Sendable>(
            _ side: @escaping @Sendable () async throws -> Void, _ main: @escaping @Sendable () async throws -> Result
        ) async throws -> Result {
            async let other: Void = side()
            let result = try await main()
            try await other
            return result
        }
    }
}

extension APIAnswer {
    /// The document of an answer with `status`.
    fileprivate func expecting(_ wanted: Int) throws -> JSONValue {
        guard status == wanted else { throw UnexpectedAnswer(request: "a request", answer: self) }
        return try json()
    }
}

import TestSupport
import Testing

@testable import PostgresClient

@Suite(needsServer, .timeLimit(.minutes(5)))
struct TransactionTests {
    private struct Refusal: Error {}

    private func numbers(_ pool: PostgresPool) async throws -> [Int] {
        try await pool.query("select n from t order by n").column()
    }

    @Test func `a body that returns is committed`() async throws {
        try await withPool { pool async throws in
            try await pool.execute("create table t (n int)")
            let answer = try await pool.transaction { transaction in
                try await transaction.execute("insert into t values (1)")
                try await transaction.pipeline(["insert into t values (2)", "insert into t values (3)"])
                return try await transaction.query("select count(*) from t").scalar(as: Int.self)
            }
            #expect(answer == 3)
            #expect(try await numbers(pool) == [1, 2, 3])
        }
    }

    @Test func `a body that throws is rolled back and its error comes out`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            try await pool.execute("create table t (n int)")
            let backend = try await pool.backendID()
            await #expect(throws: Refusal.self) {
                try await pool.transaction { transaction in
                    try await transaction.execute("insert into t values (1)")
                    throw Refusal()
                }
            }
            #expect(try await numbers(pool).isEmpty)
            #expect(try await pool.backendID() == backend)
        }
    }

    @Test func `a cancelled task is rolled back, even when its body returns`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            try await pool.execute("create table t (n int)")
            let inside = Shared(false)
            let failure = await withTaskGroup(of: PostgresError?.self) { group in
                group.addTask {
                    do {
                        try await pool.transaction { transaction in
                            try await transaction.execute("insert into t values (1)")
                            inside.withLock { $0 = true }
                            while !Task.isCancelled { await Task.yield() }
                        }
                        return nil
                    } catch {
                        return error as? PostgresError
                    }
                }
                #expect(await eventually { inside.withLock { $0 } })
                group.cancelAll()
                return await group.next() ?? nil
            }
            #expect(failure == .cancelled)
            #expect(try await numbers(pool).isEmpty)
        }
    }

    @Test func `a cancelled statement in a transaction rolls it back and the session lives on`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let observer = PostgresPool(pool.configuration)
            try await pool.execute("create table t (n int)")
            let backend = try await pool.backendID()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    try await pool.transaction { transaction in
                        try await transaction.execute("insert into t values (1)")
                        _ = try await transaction.query("select pg_sleep(600)")
                    }
                }
                let isRunning = try await eventually { try await observer.isRunning("pg_sleep(600)") }
                #expect(isRunning)
                group.cancelAll()
                await #expect(throws: PostgresError.cancelled) { try await group.waitForAll() }
            }
            #expect(try await numbers(pool).isEmpty)
            #expect(try await pool.backendID() == backend)
            await observer.close()
        }
    }

    @Test func `a transaction that loses against another runs again`() async throws {
        try await withPool { pool async throws in
            try await pool.execute("create table t (id int primary key, n int not null)")
            try await pool.execute("insert into t values (1, 0)")
            let attempts = Shared(0)
            try await withThrowingTaskGroup { group in
                for _ in 0..<6 {
                    group.addTask {
                        try await pool.transaction(isolation: .serializable, retries: 100) { transaction in
                            attempts.withLock { $0 += 1 }
                            let rows = try await transaction.query("select n from t where id = 1")
                            let n = try rows.scalar(as: Int32.self) ?? 0
                            try await transaction.execute("update t set n = \(n + 1) where id = 1")
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await pool.query("select n from t").scalar(as: Int.self) == 6)
            #expect(attempts.withLock { $0 } >= 6)
        }
    }

    @Test func `a conflict is retried up to the bound, whatever the body makes of the error`() async throws {
        try await withPool { pool async throws in
            try await pool.execute(
                "create function lose() returns void language plpgsql as $$ begin raise serialization_failure; end $$")
            for (retries, wraps) in [(0, false), (2, false), (2, true)] {
                let attempts = Shared(0)
                await #expect(throws: (any Error).self) {
                    try await pool.transaction(retries: retries) { transaction in
                        attempts.withLock { $0 += 1 }
                        do {
                            _ = try await transaction.query("select lose()")
                        } catch {
                            throw wraps ? Refusal() : error
                        }
                    }
                }
                #expect(attempts.withLock { $0 } == retries + 1)
            }
        }
    }

    @Test func `deadlocked transactions both end well`() async throws {
        try await withPool { pool async throws in
            try await pool.execute("create table t (id int primary key, n int)")
            try await pool.execute("insert into t values (1, 0), (2, 0)")
            let waiting = Shared(0)
            try await withThrowingTaskGroup { group in
                for order in [(1, 2), (2, 1)] {
                    group.addTask {
                        try await pool.transaction { transaction in
                            try await transaction.execute("set local deadlock_timeout = '20ms'")
                            try await transaction.execute("update t set n = n + 1 where id = \(order.0)")
                            waiting.withLock { $0 += 1 }
                            _ = await eventually(within: .seconds(2)) { waiting.withLock { $0 } >= 2 }
                            try await transaction.execute("update t set n = n + 1 where id = \(order.1)")
                        }
                    }
                }
                try await group.waitForAll()
            }
            #expect(try await pool.query("select n from t").column(as: Int.self) == [2, 2])
        }
    }

    @Test func `an error that the body swallows still fails the commit`() async throws {
        try await withPool { pool async throws in
            try await pool.execute("create table t (n int primary key)")
            let error = await #expect(throws: PostgresError.self) {
                try await pool.transaction { transaction in
                    try await transaction.execute("insert into t values (1)")
                    do {
                        try await transaction.execute("insert into t values (1)")
                        Issue.record("accepted")
                    } catch {}
                }
            }
            #expect(error?.sqlState == .uniqueViolation)
            #expect(try await numbers(pool).isEmpty)
        }
    }

    @Test func `a commit that the server refuses is an error and leaves nothing`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            try await pool.execute("create table t (n int unique deferrable initially deferred)")
            for isPipeline in [false, true] {
                let inserts: [Statement] = ["insert into t values (1)", "insert into t values (1)"]
                let error = await #expect(throws: PostgresError.self) {
                    if isPipeline {
                        _ = try await pool.pipelineTransaction(inserts)
                    } else {
                        try await pool.transaction { try await $0.pipeline(inserts) }
                    }
                }
                #expect(error?.sqlState == .uniqueViolation)
                #expect(try await numbers(pool).isEmpty)
            }
        }
    }

    @Test func `a connection lost while committing leaves the outcome open`() async throws {
        try await withPool { pool async throws in
            try await pool.execute("create table t (n int)")
            try await pool.execute(
                """
                create function die() returns trigger language plpgsql as $$ \
                begin perform pg_terminate_backend(pg_backend_pid()); perform pg_sleep(10); return null; end $$
                """)
            try await pool.execute(
                """
                create constraint trigger die after insert on t deferrable initially deferred \
                for each row execute function die()
                """)
            let insert: Statement = "insert into t values (1)"
            for isPipeline in [false, true] {
                let error = await #expect(throws: PostgresError.self) {
                    if isPipeline {
                        _ = try await pool.pipelineTransaction([insert])
                    } else {
                        try await pool.transaction { try await $0.execute(insert) }
                    }
                }
                guard case .commitOutcomeUnknown = error else {
                    Issue.record("\(String(describing: error))")
                    continue
                }
            }
            #expect(try await numbers(pool).isEmpty)
        }
    }

    @Test func `a pipelined transaction takes effect whole or not at all`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            try await pool.execute("create table t (n int primary key)")
            let backend = try await pool.backendID()
            let answers = try await pool.pipelineTransaction([
                "insert into t values (\(Int32(1)))", "insert into t values (\(Int32(2)))", "select count(*) from t",
            ])
            #expect(answers.count == 3 && answers[0].affected == 1)
            #expect(try answers[2].scalar(as: Int.self) == 2)
            let error = await #expect(throws: PostgresError.self) {
                try await pool.pipelineTransaction([
                    "insert into t values (\(Int32(3)))", "insert into t values (\(Int32(1)))", "delete from t",
                ])
            }
            #expect(error?.sqlState == .uniqueViolation)
            #expect(try await numbers(pool) == [1, 2])
            #expect(try await pool.backendID() == backend)
        }
    }

    @Test func `a pipeline without a transaction is one all the same`() async throws {
        try await withPool { pool async throws in
            try await pool.execute("create table t (n int primary key)")
            await #expect(throws: PostgresError.self) {
                try await pool.pipeline(["insert into t values (1)", "insert into t values (1)"])
            }
            #expect(try await numbers(pool).isEmpty)
            let answers = try await pool.pipeline((0..<500).map { "insert into t values (\(Int32($0)))" })
            #expect(answers.count == 500)
            #expect(try await numbers(pool) == Array(0..<500))
            #expect(try await pool.pipeline([]).isEmpty)
            #expect(try await pool.pipelineTransaction([]).isEmpty)
        }
    }

    @Test func `a pipeline larger than the sockets' buffers does not stick`() async throws {
        try await withPool { pool async throws in
            let text = String(repeating: "x", count: 200_000)
            let answers = try await pool.pipeline((0..<50).map { _ in "select \(text)::text || \(text)::text as t" })
            #expect(try answers.allSatisfy { try $0.scalar(as: String.self)?.utf8.count == 400_000 })
        }
    }

    @Test func `a transaction that sends nothing costs nothing`() async throws {
        try await withPool { pool async throws in
            #expect(try await pool.transaction { _ in 5 } == 5)
            let first = try await pool.transaction {
                try await $0.query("select xact_start = now() from pg_stat_activity where pid = pg_backend_pid()")
                    .scalar(as: Bool.self)
            }
            #expect(first == true)
        }
    }

    @Test func `a transaction that is used after its end is closed`() async throws {
        try await withPool { pool async throws in
            var escaped: PostgresTransaction?
            try await pool.transaction { transaction in
                escaped = transaction
                _ = try await transaction.query("select 1")
            }
            let transaction = try #require(escaped)
            await #expect(throws: PostgresError.closed) { try await transaction.query("select 1") }
        }
    }

    @Test(arguments: [
        (TransactionIsolation.readCommitted, "read committed"), (.repeatableRead, "repeatable read"),
        (.serializable, "serializable"),
    ])
    func `the isolation that was asked for is in force`(isolation: TransactionIsolation, name: String) async throws {
        try await withPool { pool async throws in
            let question: Statement = "select current_setting('transaction_isolation')"
            let found = try await pool.transaction(isolation: isolation) {
                try await $0.query(question).scalar(as: String.self)
            }
            #expect(found == name)
            let piped = try await pool.pipelineTransaction([question], isolation: isolation)
            #expect(try piped.first?.scalar(as: String.self) == name)
        }
    }
}

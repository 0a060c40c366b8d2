import Glibc
import Primitives
import Synchronization
import TestSupport
import Testing

@testable import PostgresClient

@Suite(needsServer, .timeLimit(.minutes(5)))
struct PoolTests {
    @Test func `a statement answers with rows and with how many it changed`() async throws {
        try await withPool { pool async throws in
            try await pool.execute("create table t (id int primary key, name text)")
            #expect(try await pool.execute("insert into t values (\(1), \("a")), (\(2), \(String?.none))") == 2)
            #expect(try await pool.execute("update t set name = \("z") where id = \(9)") == 0)
            let rows = try await pool.query("select id, name from t order by id")
            #expect(rows.count == 2 && rows.columnNames == ["id", "name"])
            #expect(try rows.map { try $0.get("name", as: String?.self) } == ["a", nil])
            #expect(try await pool.query("select 1 where false").scalar(as: Int.self) == nil)
        }
    }

    @Test func `the server's refusal is typed and the connection lives on`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let before = try await pool.backendID()
            try await pool.execute("create table t (id int constraint t_key primary key, n int check (n > 0))")
            try await pool.execute("insert into t values (1, 1)")
            let duplicate = await #expect(throws: PostgresError.self) {
                try await pool.execute("insert into t values (\(Int32(1)), \(Int32(1)))")
            }
            #expect(duplicate?.sqlState == .uniqueViolation && duplicate?.constraint == "t_key")
            let refused: [(Statement, SQLState)] = [
                ("insert into t values (2, 0)", .checkViolation), ("select * from nowhere", .undefinedTable),
                ("select nothing from t", .undefinedColumn), ("selekt", .syntaxError),
                ("insert into t (n) values (1)", .notNullViolation),
            ]
            for (statement, state) in refused {
                let error = await #expect(throws: PostgresError.self) { try await pool.query(statement) }
                #expect(error?.sqlState == state)
            }
            #expect(try await pool.backendID() == before)
        }
    }

    @Test func `statements that the protocol can't carry are refused`() async throws {
        try await withPool { pool async throws in
            for statement: Statement in ["", "select 1; select 2", "copy (select 1) to stdout", "select \("\u{0}")"] {
                await #expect(throws: PostgresError.self) { try await pool.query(statement) }
            }
            #expect(try await pool.query("select 1").scalar(as: Int.self) == 1)
        }
    }

    @Test func `no more connections are opened than the bound and everybody is served`() async throws {
        try await withPool({ $0.maximumConnections = 3 }) { pool async throws in
            let backends = try await withThrowingTaskGroup(of: Int32.self) { group in
                for _ in 0..<60 {
                    group.addTask {
                        try await pool.query("select pg_backend_pid() from pg_sleep(0.002)").scalar(as: Int32.self) ?? 0
                    }
                }
                return try await group.reduce(into: Set()) { $0.insert($1) }
            }
            #expect((1...3).contains(backends.count) && !backends.contains(0))
            #expect(pool.lending.connectionCount <= 3 && pool.lending.waiterCount == 0)
        }
    }

    @Test func `no connection is opened before it is needed`() async throws {
        try await withPool { pool async throws in
            #expect(pool.lending.connectionCount == 0)
            _ = try await pool.query("select 1")
            _ = try await pool.query("select 1")
            #expect(pool.lending.connectionCount == 1)
        }
    }

    @Test func `whoever waits longer than the limit is told that the pool is exhausted`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.waitLimit = .milliseconds(50)
        }) { pool async throws in
            // Opening the connection may take longer than the limit.
            #expect(await eventually { (try? await pool.query("select 1")) != nil })
            try await pool.transaction { transaction in
                _ = try await transaction.query("select 1")
                await #expect(throws: PostgresError.poolExhausted) { try await pool.query("select 1") }
            }
            #expect(try await pool.query("select 1").count == 1)
        }
    }

    @Test func `a full queue of waiters refuses at once`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.maximumWaiters = 0
        }) { pool async throws in
            try await pool.transaction { transaction in
                _ = try await transaction.query("select 1")
                await #expect(throws: PostgresError.poolExhausted) { try await pool.query("select 1") }
            }
        }
    }

    @Test func `a waiter that is cancelled leaves the queue`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            try await pool.transaction { transaction in
                _ = try await transaction.query("select 1")
                await withTaskGroup(of: PostgresError?.self) { group in
                    group.addTask {
                        do throws(PostgresError) {
                            _ = try await pool.query("select 1")
                            return nil
                        } catch {
                            return error
                        }
                    }
                    #expect(await eventually { pool.lending.waiterCount == 1 })
                    group.cancelAll()
                    #expect(await group.next() == .cancelled)
                }
                #expect(pool.lending.waiterCount == 0)
            }
            #expect(try await pool.query("select 1").count == 1)
        }
    }

    @Test func `a session left in a transaction is not lent again`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let before = try await pool.backendID()
            try await pool.execute("begin")
            #expect(try await pool.backendID() != before)
        }
    }

    @Test func `a connection that the server ended is replaced`() async throws {
        try await withPool { pool async throws in
            let other = PostgresPool(pool.configuration)
            for _ in 0..<5 {
                let backend = try await pool.backendID()
                try await other.execute("select pg_terminate_backend(\(backend))")
                #expect(
                    try await eventually {
                        try await other.query("select 1 from pg_stat_activity where pid = \(backend)").isEmpty
                    })
                #expect(try await pool.backendID() != backend)
            }
            await other.close()
        }
    }

    @Test func `a connection that ends under a statement fails it and is replaced`() async throws {
        try await withPool { pool async throws in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.query("select pg_terminate_backend(pg_backend_pid())")
            }
            #expect(error?.sqlState == .adminShutdown && error?.isTransient == true, "\(String(describing: error))")
            #expect(try await pool.query("select 1").count == 1)
        }
    }

    @Test func `connections that lie idle are closed but for one`() async throws {
        try await withPool({ $0.idleLimit = .milliseconds(50) }) { pool async throws in
            try await withThrowingTaskGroup { group in
                for _ in 0..<4 { group.addTask { _ = try await pool.query("select pg_sleep(0.05)") } }
                try await group.waitForAll()
            }
            #expect(await eventually { pool.lending.connectionCount == 1 })
            #expect(try await pool.query("select 1").count == 1)
        }
    }

    @Test func `a closed pool refuses and ends what is under way`() async throws {
        try await withPool { pool async throws in
            let observer = PostgresPool(pool.configuration)
            try await withThrowingTaskGroup(of: PostgresError?.self) { group in
                group.addTask {
                    do throws(PostgresError) {
                        _ = try await pool.query("select pg_sleep(60)")
                        return nil
                    } catch {
                        return error
                    }
                }
                let isRunning = try await eventually { try await observer.isRunning("pg_sleep(60)") }
                #expect(isRunning)
                await pool.close(grace: .milliseconds(50))
                #expect(try await group.next() == .closed)
            }
            await observer.close()
            await #expect(throws: PostgresError.closed) { try await pool.query("select 1") }
            await pool.close()
        }
    }

    @Test func `closing waits for what is lent`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.maximumWaiters = 0
        }) { pool async throws in
            let isLent = Shared(false)
            let result = try await withThrowingTaskGroup(of: Int?.self) { group in
                group.addTask {
                    try await pool.transaction { transaction in
                        _ = try await transaction.query("select 1")
                        isLent.withLock { $0 = true }
                        // Others are told that it is exhausted until the closing begins.
                        #expect(await eventually { await Self.refusal(of: pool) == .closed })
                        return try await transaction.query("select 7").scalar(as: Int.self)
                    }
                }
                #expect(await eventually { isLent.withLock { $0 } })
                await pool.close(grace: .seconds(60))
                return try await group.next()
            }
            #expect(result == 7)
        }
    }

    private static func refusal(of pool: PostgresPool) async -> PostgresError? {
        do throws(PostgresError) {
            _ = try await pool.query("select 1")
            return nil
        } catch {
            return error
        }
    }

    @Test func `a pool that is let go ends its sessions and its thread`() async throws {
        let configuration = try await PrivatePostgres.shared().createDatabase()
        let observer = PostgresPool(configuration)
        let backend = try await PostgresPool(configuration).backendID()
        #expect(
            try await eventually {
                try await observer.query("select 1 from pg_stat_activity where pid = \(backend)").isEmpty
            })
        await observer.close()
    }

    @Test func `settings of the configuration reach the session`() async throws {
        try await withPool({
            $0.searchPath = ["we ird\\", "public"]
            $0.applicationName = "it's me"
            $0.statementTimeout = .seconds(7)
        }) { pool async throws in
            func setting(_ name: String) async throws -> String? {
                try await pool.query("select current_setting(\(name))").scalar()
            }
            #expect(try await setting("search_path") == "\"we ird\\\",\"public\"")
            #expect(try await setting("application_name") == "it's me")
            #expect(try await setting("statement_timeout") == "7s")
            #expect(try await setting("timezone") == "UTC")
        }
    }
}

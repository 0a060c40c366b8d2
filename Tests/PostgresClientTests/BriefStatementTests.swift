import Glibc
import Primitives
import TestSupport
import Testing

@testable import PostgresClient

@Suite(needsServer, .timeLimit(.minutes(5)))
struct BriefStatementTests {
    /// Waits for a lock in the server, and then tells its number.
    private static func blocked(_ number: Int32) -> Statement {
        Statement("select n from pg_advisory_xact_lock(7), (values (\(number)::int)) v (n)").brief
    }

    private static func divided(_ number: Int32) -> Statement { Statement("select 12 / \(number)::int as n").brief }

    /// A pool with one session that knows all statements, and a lock that they wait for until `body` lets it go.
    private func withBlockedSession(
        _ body: (PostgresPool, _ letGo: @escaping @Sendable () -> Void) async throws -> Void
    ) async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let other = PostgresPool(pool.configuration)
            _ = try await pool.query(Self.blocked(0))
            _ = try await pool.query(Self.divided(1))
            let (held, free) = (Gate(), Gate())
            async let holder: Void = other.transaction { transaction in
                _ = try await transaction.query("select from pg_advisory_xact_lock(7)")
                held.open()
                await free.pass()
            }
            await held.pass()
            do {
                try await body(pool) { free.open() }
            } catch {
                free.open()
                throw error
            }
            free.open()
            try await holder
            await other.close()
        }
    }

    /// Until the one session has something to do, and so many wait for it.
    private func waiting(_ count: Int, _ pool: PostgresPool) async -> Bool {
        await eventually { pool.lending.lentCount == 1 && pool.briefs.waitingCount == count }
    }

    @Test func `brief statements that wait for a session are sent together`() async throws {
        try await withBlockedSession { pool, letGo async throws in
            async let first = pool.query(Self.blocked(0))
            #expect(await waiting(0, pool))
            let moment = Statement("select extract(epoch from transaction_timestamp())::float8 as n").brief
            try await withThrowingTaskGroup(of: Double?.self) { group in
                for _ in 0..<6 { group.addTask { try await pool.query(moment).scalar(as: Double.self) } }
                #expect(await waiting(6, pool))
                #expect(pool.lending.waiterCount == 1)
                letGo()
                var moments: Set<Double?> = []
                for try await moment in group { moments.insert(moment) }
                #expect(moments.count == 1)
            }
            #expect(try await first.scalar(as: Int.self) == 0)
            #expect(pool.lending.connectionCount == 1)
            #expect(await eventually { pool.lending.lentCount == 0 })
        }
    }

    @Test func `each has its own answer, however many there are`() async throws {
        try await withBlockedSession { pool, letGo async throws in
            async let first = pool.query(Self.blocked(0))
            #expect(await waiting(0, pool))
            let count = BriefStatements.batchLimit * 2 + 1
            try await withThrowingTaskGroup(of: (Int, Int?).self) { group in
                for number in 0..<count {
                    group.addTask {
                        (number, try await pool.query(Statement("select \(number)::bigint").brief).scalar(as: Int.self))
                    }
                }
                #expect(await waiting(count, pool))
                letGo()
                for try await (number, answer) in group { #expect(answer == number) }
            }
            #expect(try await first.scalar(as: Int.self) == 0)
        }
    }

    @Test func `an error is that of the statement that made it`() async throws {
        try await withBlockedSession { pool, letGo async throws in
            async let first = pool.query(Self.blocked(1))
            #expect(await waiting(0, pool))
            async let second = pool.query(Self.divided(0))
            #expect(await waiting(1, pool))
            async let third = pool.query(Self.divided(4))
            let invalid = Task { try await pool.query(Statement("select nothing from nowhere").brief) }
            #expect(await waiting(3, pool))
            letGo()
            #expect(try await first.scalar(as: Int.self) == 1)
            do {
                _ = try await second
                Issue.record("divided by zero")
            } catch let error as PostgresError {
                #expect(error.sqlState == SQLState("22012"))
            }
            #expect(try await third.scalar(as: Int.self) == 3)
            await #expect(throws: PostgresError.self) { try await invalid.value }
        }
    }

    @Test func `whoever wants the session alone has it in turn`() async throws {
        try await withBlockedSession { pool, letGo async throws in
            async let first = pool.query(Self.blocked(1))
            #expect(await waiting(0, pool))
            async let alone = pool.query("select pg_backend_pid()")
            #expect(await eventually { pool.lending.waiterCount == 1 })
            async let third = pool.query(Self.divided(4))
            #expect(await eventually { pool.lending.waiterCount == 2 })
            letGo()
            #expect(try await first.scalar(as: Int.self) == 1)
            #expect(try await alone.scalar(as: Int32.self) != nil)
            #expect(try await third.scalar(as: Int.self) == 3)
        }
    }

    @Test(arguments: 0..<3) func `one that is cancelled stops nobody else's`(place: Int) async throws {
        try await withBlockedSession { pool, letGo async throws in
            var tasks: [Task<Int?, any Error>] = []
            for number in 0..<3 {
                tasks.append(Task { try await pool.query(Self.blocked(Int32(number))).scalar(as: Int.self) })
                #expect(await waiting(number, pool))
            }
            tasks[place].cancel()
            await #expect(throws: PostgresError.cancelled) { try await tasks[place].value }
            letGo()
            for number in 0..<3 where number != place { #expect(try await tasks[number].value == number) }
            #expect(try await pool.query(Self.blocked(9)).scalar(as: Int.self) == 9)
        }
    }

    @Test func `a cancelled task asks for nothing`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let gate = Gate()
            let task = Task {
                await gate.pass()
                return try await pool.query(Self.divided(4))
            }
            task.cancel()
            gate.open()
            await #expect(throws: PostgresError.cancelled) { try await task.value }
            #expect(await eventually { pool.lending.lentCount == 0 && pool.briefs.waitingCount == 0 })
            #expect(try await pool.query(Self.divided(4)).scalar(as: Int.self) == 3)
        }
    }

    @Test func `all of a session that is lost are told so, and the next has another`() async throws {
        try await withBlockedSession { pool, letGo async throws in
            let first = Task { try await pool.query(Self.blocked(0)) }
            #expect(await waiting(0, pool))
            let rest = (1..<3).map { number in Task { try await pool.query(Self.blocked(Int32(number))) } }
            #expect(await waiting(2, pool))
            let other = PostgresPool(pool.configuration)
            let ofBlocked = Statement(
                """
                select pg_terminate_backend(pid) from pg_stat_activity
                where datname = current_database() and query like '%pg_advisory_xact_lock(7), %'
                    and pid <> pg_backend_pid()
                """)
            _ = try await other.query(ofBlocked)
            await #expect(throws: PostgresError.self) { try await first.value }
            #expect(await waiting(0, pool))
            _ = try await other.query(ofBlocked)
            for task in rest { await #expect(throws: PostgresError.self) { try await task.value } }
            letGo()
            #expect(try await pool.query(Self.blocked(9)).scalar(as: Int.self) == 9)
            await other.close()
        }
    }

    @Test func `more than may wait are refused at once, and a closed pool refuses all`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.maximumWaiters = 2
        }) { pool async throws in
            let connection = try await pool.lending.borrow()
            let tasks = (0..<2).map { _ in Task { try await pool.query(Self.divided(4)) } }
            #expect(await waiting(2, pool))
            await #expect(throws: PostgresError.poolExhausted) { try await pool.query(Self.divided(4)) }
            async let closed: Void = pool.close()
            for task in tasks { await #expect(throws: PostgresError.closed) { try await task.value } }
            await #expect(throws: PostgresError.closed) { try await pool.query(Self.divided(4)) }
            pool.lending.giveBack(connection)
            await closed
        }
    }

    @Test func `those that wait too long are told so, and the next are not`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.waitLimit = .seconds(2)
        }) { pool async throws in
            let connection = try await pool.lending.borrow()
            let tasks = (0..<2).map { _ in Task { try await pool.query(Self.divided(4)) } }
            for task in tasks { await #expect(throws: PostgresError.poolExhausted) { try await task.value } }
            pool.lending.giveBack(connection)
            #expect(try await pool.query(Self.divided(4)).scalar(as: Int.self) == 3)
        }
    }

    @Test func `a frozen session is given up on as soon with many statements as with one`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.statementTimeout = .seconds(2)
            $0.serverGrace = .seconds(1)
        }) { pool async throws in
            let backend = try #require(try await pool.query("select pg_backend_pid()").scalar(as: Int32.self))
            let connection = try await pool.lending.borrow()
            let tasks = (0..<20).map { _ in Task { try await pool.query(Self.divided(4)) } }
            #expect(await waiting(20, pool))
            #expect(kill(backend, SIGSTOP) == 0)
            defer { kill(backend, SIGCONT) }
            pool.lending.giveBack(connection)
            #expect(await eventually(within: .seconds(15)) { pool.lending.lentCount == 0 })
            for task in tasks { await #expect(throws: PostgresError.timedOut) { try await task.value } }
        }
    }

    @Test func `a table that was altered meanwhile costs nobody an answer`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let statement = Statement("select * from things where n = \(Int32(1))").brief
            try await pool.execute("create table things as select 1 as n")
            _ = try await pool.query(statement)
            try await pool.execute("alter table things add column more int")
            try await withThrowingTaskGroup(of: Int.self) { group in
                for _ in 0..<8 { group.addTask { try await pool.query(statement).columnNames.count } }
                for try await columns in group { #expect(columns == 2) }
            }
        }
    }
}

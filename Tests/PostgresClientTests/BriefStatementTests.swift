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

    /// Until so many are under way on the one session.
    private func underWay(_ count: Int, _ pool: PostgresPool) async -> Bool {
        await eventually { pool.lending.exchangeCount == count }
    }

    @Test func `brief statements are sent behind each other on a session that is in use`() async throws {
        try await withBlockedSession { pool, letGo async throws in
            try await withThrowingTaskGroup(of: (Int32, Int).self) { group in
                for number in Int32(1)...6 {
                    group.addTask {
                        (number, try await pool.query(Self.blocked(number)).scalar(as: Int.self) ?? 0)
                    }
                }
                #expect(await underWay(6, pool))
                #expect(pool.lending.waiterCount == 0)
                letGo()
                for try await (number, answer) in group { #expect(answer == Int(number)) }
            }
            #expect(pool.lending.connectionCount == 1 && pool.lending.lentCount == 0)
        }
    }

    @Test func `an error is that of the statement that made it`() async throws {
        try await withBlockedSession { pool, letGo async throws in
            async let first = pool.query(Self.blocked(1))
            #expect(await underWay(1, pool))
            async let second = pool.query(Self.divided(0))
            #expect(await underWay(2, pool))
            async let third = pool.query(Self.divided(4))
            #expect(await underWay(3, pool))
            letGo()
            #expect(try await first.scalar(as: Int.self) == 1)
            do {
                _ = try await second
                Issue.record("divided by zero")
            } catch let error as PostgresError {
                #expect(error.sqlState == SQLState("22012"))
            }
            #expect(try await third.scalar(as: Int.self) == 3)
        }
    }

    @Test func `one that is not prepared yet waits for the session, and keeps others from it`() async throws {
        try await withBlockedSession { pool, letGo async throws in
            async let first = pool.query(Self.blocked(1))
            #expect(await underWay(1, pool))
            async let new = pool.query(Statement("select \(Int32(2))::int + 1 as n").brief)
            #expect(await eventually { pool.lending.waiterCount == 1 })
            async let third = pool.query(Self.divided(4))
            #expect(await eventually { pool.lending.waiterCount == 2 })
            #expect(pool.lending.exchangeCount == 1)
            letGo()
            #expect(try await first.scalar(as: Int.self) == 1)
            #expect(try await new.scalar(as: Int.self) == 3)
            #expect(try await third.scalar(as: Int.self) == 3)
        }
    }

    @Test(arguments: [0, 1]) func `one that is cancelled stops nobody else's`(place: Int) async throws {
        try await withBlockedSession { pool, letGo async throws in
            var tasks: [Task<Int?, any Error>] = []
            for number in 0..<3 {
                tasks.append(Task { try await pool.query(Self.blocked(Int32(number))).scalar(as: Int.self) })
                #expect(await underWay(number + 1, pool))
            }
            tasks[place].cancel()
            await #expect(throws: PostgresError.cancelled) { try await tasks[place].value }
            letGo()
            for number in 0..<3 where number != place { #expect(try await tasks[number].value == number) }
            #expect(try await pool.query(Self.blocked(9)).scalar(as: Int.self) == 9)
        }
    }

    @Test func `all of a session that is lost are told so, and the next has another`() async throws {
        try await withBlockedSession { pool, letGo async throws in
            let tasks = (0..<3).map { number in Task { try await pool.query(Self.blocked(Int32(number))) } }
            #expect(await underWay(3, pool))
            let other = PostgresPool(pool.configuration)
            _ = try await other.query(
                "select pg_terminate_backend(pid) from pg_stat_activity where query like '%pg_advisory_xact_lock(7), %' and pid <> pg_backend_pid()"
            )
            for task in tasks { await #expect(throws: PostgresError.self) { try await task.value } }
            letGo()
            #expect(try await pool.query(Self.blocked(9)).scalar(as: Int.self) == 9)
            await other.close()
        }
    }

    @Test func `a lost session that others still have is nobody's next`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let lost = try await pool.lending.borrowShared()
            lost.close()
            async let next = pool.query(Self.divided(4))
            #expect(await eventually { pool.lending.waiterCount == 1 })
            pool.lending.giveBackShared(lost)
            #expect(try await next.scalar(as: Int.self) == 3)
        }
    }

    @Test func `a frozen session is given up on as soon after many that shared it as after one`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.statementTimeout = .seconds(2)
            $0.serverGrace = .seconds(1)
        }) { pool async throws in
            let statement = Statement("select pg_backend_pid() as n from pg_sleep(0.05)").brief
            let backend = try #require(try await pool.query(statement).scalar(as: Int32.self))
            var last = Task { try await pool.query(statement) }
            for _ in 0..<20 {
                #expect(await underWay(1, pool))
                let next = Task { try await pool.query(statement) }
                _ = try await last.value
                last = next
            }
            #expect(kill(backend, SIGSTOP) == 0)
            defer { kill(backend, SIGCONT) }
            let frozen = Task { try await pool.query(statement) }
            #expect(await eventually(within: .seconds(15)) { pool.lending.lentCount == 0 })
            await #expect(throws: PostgresError.timedOut) { try await frozen.value }
            _ = await last.result
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

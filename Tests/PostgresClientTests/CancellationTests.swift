import Glibc
import TestSupport
import Testing

@testable import PostgresClient

@Suite(needsServer, .timeLimit(.minutes(5)))
struct CancellationTests {
    @Test func `a cancelled statement stops on the server and its session is used again`() async throws {
        try await withPool({ $0.maximumConnections = 1 }) { pool async throws in
            let observer = PostgresPool(pool.configuration)
            let backend = try await pool.backendID()
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = try await pool.query("select pg_sleep(601)") }
                let isRunning = try await eventually { try await observer.isRunning("pg_sleep(601)") }
                #expect(isRunning)
                group.cancelAll()
                await #expect(throws: PostgresError.cancelled) { try await group.waitForAll() }
            }
            #expect(try await !observer.isRunning("pg_sleep(601)"))
            #expect(try await pool.backendID() == backend)
            await observer.close()
        }
    }

    @Test func `a cancellation never hits the next statement on the session`() async throws {
        try await withPool({ $0.maximumConnections = 2 }) { pool async throws in
            for round in 0..<60 {
                await withTaskGroup(of: Void.self) { group in
                    group.addTask { _ = try? await pool.query("select pg_sleep(\(Double(round % 6) / 1000))") }
                    if round.isMultiple(of: 2) { await Task.yield() }
                    group.cancelAll()
                }
                #expect(try await pool.query("select \(round)").scalar(as: Int.self) == round)
            }
        }
    }

    @Test func `a task that is cancelled already sends nothing`() async throws {
        try await withPool { pool async throws in
            try await pool.execute("create table t (n int)")
            await withTaskGroup(of: Void.self) { group in
                group.cancelAll()
                group.addTask {
                    await #expect(throws: PostgresError.cancelled) {
                        try await pool.execute("insert into t values (1)")
                    }
                }
            }
            #expect(try await pool.query("select 1 from t").isEmpty)
        }
    }

    @Test func `a statement that takes too long is stopped by the server`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.statementTimeout = .seconds(2)
        }) { pool async throws in
            let backend = try await pool.backendID()
            await #expect(throws: PostgresError.timedOut) { try await pool.query("select pg_sleep(60)") }
            #expect(try await pool.backendID() == backend)
        }
    }

    @Test func `somebody else's cancellation is the server's word`() async throws {
        try await withPool { pool async throws in
            let error = await #expect(throws: PostgresError.self) {
                try await pool.query("select pg_cancel_backend(pg_backend_pid()), pg_sleep(60)")
            }
            #expect(error?.sqlState == .queryCancelled)
        }
    }

    @Test func `a session that is frozen is given up on`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.statementTimeout = .seconds(2)
            $0.serverGrace = .seconds(1)
        }) { pool async throws in
            let backend = try await pool.backendID()
            #expect(kill(backend, SIGSTOP) == 0)
            defer { kill(backend, SIGCONT) }
            await #expect(throws: PostgresError.timedOut) { try await pool.query("select 1") }
            #expect(try await pool.backendID() != backend)
        }
    }

    @Test func `cancelling does not wait for a frozen session`() async throws {
        try await withPool({
            $0.maximumConnections = 1
            $0.serverGrace = .milliseconds(100)
        }) { pool async throws in
            let observer = PostgresPool(pool.configuration)
            let backend = try await pool.backendID()
            defer { kill(backend, SIGCONT) }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask {
                    await #expect(throws: PostgresError.cancelled) { try await pool.query("select pg_sleep(602)") }
                }
                let isRunning = try await eventually { try await observer.isRunning("pg_sleep(602)") }
                #expect(isRunning)
                #expect(kill(backend, SIGSTOP) == 0)
                group.cancelAll()
                try await group.waitForAll()
            }
            #expect(try await pool.backendID() != backend)
            await observer.close()
        }
    }
}

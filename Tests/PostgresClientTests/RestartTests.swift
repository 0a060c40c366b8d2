import Glibc
import PostgresClient
import TestSupport
import Testing

@Suite(needsServer, .timeLimit(.minutes(5)))
struct RestartTests {
    @Test func `pool and listener outlive the server's restart`() async throws {
        let server = try await PrivatePostgres.separate()
        let pool = PostgresPool(try await server.createDatabase())
        var iterator = pool.listen(channel: "news").makeAsyncIterator()
        #expect(await iterator.next() == .listening)
        try await pool.execute("create table t (n int)")
        try await withThrowingTaskGroup { group in
            for n in 0..<8 { group.addTask { try await pool.execute("insert into t values (\(Int32(n)))") } }
            try await group.waitForAll()
        }

        try await server.restart()
        #expect(try await pool.query("select n from t").count == 8)
        #expect(await iterator.next() == .reconnected)

        try await server.stop()
        let error = await #expect(throws: PostgresError.self) { try await pool.query("select 1") }
        #expect(error?.isTransient == true)
        try await server.start()
        #expect(try await pool.query("select n from t").count == 8)
        #expect(await iterator.next() == .reconnected)
        try await pool.execute("notify news, 'back'")
        guard case .notification(let notification) = await iterator.next() else {
            Issue.record("no notification")
            return
        }
        #expect(notification.payload == "back")
        await pool.close()
        try await server.stop()
    }
}

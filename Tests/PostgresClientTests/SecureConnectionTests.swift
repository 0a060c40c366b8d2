import FoundationEssentials
import PostgresClient
import Primitives
import TestSupport
import Testing

/// Sessions over TLS: what they carry, and which servers are refused.
@Suite(needsServer, .timeLimit(.minutes(5)))
struct SecureConnectionTests {
    private func withSecurePool(
        _ change: (inout PostgresConfiguration) -> Void = { _ in }, _ body: (PostgresPool) async throws -> Void
    ) async throws {
        let server = try await PrivatePostgres.shared()
        let database = try await server.createDatabase().database
        var configuration = try server.secureConfiguration(database: database)
        change(&configuration)
        let pool = PostgresPool(configuration)
        do {
            try await body(pool)
        } catch {
            await pool.close(grace: .zero)
            throw error
        }
        await pool.close()
    }

    private func failure(_ configuration: PostgresConfiguration) async -> String {
        let pool = PostgresPool(configuration)
        let error = await #expect(throws: PostgresError.self) { try await pool.query("select 1") }
        await pool.close()
        return error.map { "\($0)" } ?? ""
    }

    @Test func `a session is encrypted`() async throws {
        try await withSecurePool { pool async throws in
            let version = try await pool.query("select version from pg_stat_ssl where ssl and pid = pg_backend_pid()")
                .scalar(as: String.self)
            #expect(["TLSv1.2", "TLSv1.3"].contains(version))
        }
    }

    @Test(arguments: [1, 100, 8_191, 16_384, 16_385, 65_536, 1_000_000])
    func `an answer of any size arrives whole`(bytes: Int) async throws {
        try await withSecurePool { pool async throws in
            for _ in 0..<10 {
                let text = try await pool.query("select repeat('x', \(bytes)::int) as text").scalar(as: String.self)
                #expect(text?.utf8.count == bytes)
            }
            let rows = try await pool.query("select repeat('y', \(bytes / 100)::int) from generate_series(1, 200)")
            #expect(rows.count == 200)
        }
    }

    @Test func `many sessions at once get their own answers`() async throws {
        try await withSecurePool({ $0.maximumConnections = 8 }) { pool async throws in
            try await withThrowingTaskGroup(of: Bool.self) { group in
                for number in 0..<400 {
                    group.addTask { try await pool.query("select \(number)").scalar(as: Int.self) == number }
                }
                for try await isRight in group { #expect(isRight) }
            }
        }
    }

    @Test func `notifications arrive`() async throws {
        try await withSecurePool { pool async throws in
            var notifications = pool.listen(channel: "news").makeAsyncIterator()
            #expect(await notifications.next() == .listening)
            _ = try await pool.query("select pg_notify('news', 'hello')")
            guard case .notification(let notification) = await notifications.next() else {
                Issue.record("no notification")
                return
            }
            #expect(notification.payload == "hello")
        }
    }

    @Test func `a server of another authority is refused`() async throws {
        let stranger = try TestAuthority()
        var configuration = try await PrivatePostgres.shared().secureConfiguration(database: "postgres")
        configuration.transportSecurity = .verified(rootCertificate: stranger.path)
        #expect(await failure(configuration).contains("certificate verify failed"))
    }

    @Test func `a server of another name is refused`() async throws {
        var configuration = try await PrivatePostgres.shared().secureConfiguration(database: "postgres")
        configuration.host = "localhost"
        #expect(await failure(configuration).contains("does not match host name \"localhost\""))
    }

    @Test func `an expired certificate is refused, and its successor is taken without a restart`() async throws {
        let server = try await PrivatePostgres.separate()
        let authority = try TestAuthority.shared()
        try server.serve(try authority.certificate("s", addresses: TestAuthority.serverAddresses, days: 1, age: 3))
        let configuration = try server.secureConfiguration(database: "postgres")
        #expect(await failure(configuration).contains("certificate verify failed"))
        try server.serve(try authority.certificate("s", addresses: TestAuthority.serverAddresses))
        let pool = PostgresPool(configuration)
        #expect(try await pool.query("select 1").count == 1)
        await pool.close()
    }

    @Test func `whoever is refused with the first password tries the second`() async throws {
        var configuration = try await PrivatePostgres.shared().secureConfiguration(database: "postgres")
        configuration.password = .box(PasswordBox([Secret("old"), PrivatePostgres.superuserPassword]))
        let pool = PostgresPool(configuration)
        #expect(try await pool.query("select 1").count == 1)
        await pool.close()
        configuration.password = .box(PasswordBox([Secret("old"), Secret("older")]))
        #expect(await failure(configuration).contains("28P01"))
    }

    @Test func `a password is looked up for every session, and open sessions stay`() async throws {
        let server = try await PrivatePostgres.separate()
        let administration = PostgresPool(server.configuration(database: "postgres"))
        _ = try await administration.query("create role rotated login password 'first'")
        let box = PasswordBox([Secret("first")])
        var configuration = try server.secureConfiguration(database: "postgres")
        configuration.user = "rotated"
        configuration.password = .box(box)
        configuration.maximumConnections = 2
        let pool = PostgresPool(configuration)
        let first = try await pool.backendID()
        _ = try await administration.query("alter role rotated password 'second'")
        #expect(try await pool.backendID() == first)
        box.values = [Secret("first"), Secret("second")]
        try await pool.transaction { transaction in
            _ = try await transaction.query("select 1")
            // The other session is opened now.
            #expect(try await pool.backendID() != first)
        }
        await pool.close()
        await administration.close()
    }
}

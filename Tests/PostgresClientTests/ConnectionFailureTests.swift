import Glibc
import PostgresClient
import Primitives
import TestSupport
import Testing

@Suite(needsServer, .timeLimit(.minutes(5)))
struct ConnectionFailureTests {
    private func failure(_ configuration: PostgresConfiguration) async -> PostgresError? {
        let pool = PostgresPool(configuration)
        let error = await #expect(throws: PostgresError.self) { try await pool.query("select 1") }
        await pool.close()
        return error
    }

    @Test func `the right password opens the door`() async throws {
        let pool = PostgresPool(try await PrivatePostgres.shared().tcpConfiguration(database: "postgres"))
        #expect(try await pool.query("select 1").count == 1)
        await pool.close()
    }

    @Test func `a wrong password is the server's refusal and stays out of the error`() async throws {
        let server = try await PrivatePostgres.shared()
        let error = await failure(server.tcpConfiguration(database: "postgres", password: Secret("hunter2-wrong")))
        #expect(error?.sqlState == .invalidPassword && error?.isTransient == false)
        #expect(!String(reflecting: error).contains("hunter2"))
    }

    @Test func `a missing password is told apart from a lost server`() async throws {
        let error = await failure(
            try await PrivatePostgres.shared().tcpConfiguration(database: "postgres", password: nil))
        guard case .connection(let reason) = error else {
            Issue.record("\(String(describing: error))")
            return
        }
        #expect(reason.contains("no password supplied"))
    }

    @Test func `an unknown database is the server's refusal`() async throws {
        let error = await failure(try await PrivatePostgres.shared().configuration(database: "nowhere"))
        #expect(error?.sqlState == .undefinedDatabase)
    }

    @Test func `a refused port and a missing socket are lost connections`() async throws {
        for host in ["127.0.0.1", "/nonexistent", "localhost"] {
            let error = await failure(PostgresConfiguration(host: host, port: 15499, database: "d", user: "u"))
            guard case .connection = error else {
                Issue.record("\(host): \(String(describing: error))")
                continue
            }
        }
    }

    @Test func `a server that never answers is given up on`() async throws {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        defer { close(descriptor) }
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                #expect(bind(descriptor, generic, length) == 0 && listen(descriptor, 4) == 0)
                #expect(getsockname(descriptor, generic, &length) == 0)
            }
        }
        var configuration = PostgresConfiguration(
            host: "127.0.0.1", port: Int(UInt16(bigEndian: address.sin_port)), database: "d", user: "u")
        configuration.connectTimeout = .milliseconds(100)
        #expect(await failure(configuration) == .connection("no answer within the connect time-out"))
    }

    @Test func `every waiter of a server that is away is told`() async throws {
        let pool = PostgresPool(PostgresConfiguration(host: "/nonexistent", database: "d", user: "u"))
        let failures = await withTaskGroup(of: Bool.self) { group in
            for _ in 0..<20 {
                group.addTask {
                    do throws(PostgresError) {
                        _ = try await pool.query("select 1")
                        return false
                    } catch {
                        guard case .connection = error else { return false }
                        return true
                    }
                }
            }
            return await group.reduce(0) { $0 + ($1 ? 1 : 0) }
        }
        #expect(failures == 20)
        await pool.close()
    }
}

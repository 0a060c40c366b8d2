import CloudHarness
import Deployer
import Foundation
import PostgresClient
import Primitives
import Synchronization
import TestSupport

/// The one cloud of this test process, started by the first test that asks, with what is made in it once.
enum SharedCloud {
    private static let nextName = Atomic<Int>(1)
    private static let image = Mutex<String?>(nil)

    static func ready() async throws -> DevReady { try await TestCloud.shared().ready }

    static func admin() async throws -> CloudSession {
        try await CloudSession.open(CloudLogin(cloud: "cellwright-admin", file: try await ready().cloudsFile))
    }

    /// A name that nothing else has.
    static func name(_ prefix: String) -> String { "\(prefix)-\(nextName.add(1, ordering: .relaxed).oldValue)" }

    /// A tiny raw image that everybody may use.
    static func publicImage() async throws -> String {
        if let known = image.withLock({ $0 }) { return known }
        let id = try await TinyImage.create(in: try await admin(), name: "tiny", visibility: "public")
        image.withLock { $0 = id }
        return id
    }

    // MARK: Databases

    /// A pool to a cell's database as the server's administrator, or as a cell's own role.
    static func database(of cell: DevReady.Cell, as role: DevReady.Cell? = nil) async throws -> PostgresPool {
        let server = try await ready().database
        let passwordFile = role?.databasePasswordFile ?? server.passwordFile
        return PostgresPool(
            PostgresConfiguration(
                host: server.host, port: server.port, database: cell.resource, user: role?.resource ?? server.user,
                password: .fixed(Secret(try text(passwordFile))), applicationName: "end-to-end test",
                maximumConnections: 1,
                waitLimit: .seconds(20), connectTimeout: .seconds(20)))
    }

    /// The same in another cloud, as its administrator.
    static func database(of cell: DevReady.Cell, on server: DevReady.Server) throws -> PostgresPool {
        PostgresPool(
            PostgresConfiguration(
                host: server.host, port: cell.databasePort ?? server.port, database: cell.resource, user: server.user,
                password: .fixed(Secret(try text(server.passwordFile))), applicationName: "end-to-end test",
                maximumConnections: 1, waitLimit: .seconds(20), connectTimeout: .seconds(20)))
    }

    static func query(_ cell: DevReady.Cell, _ statement: Statement) async throws -> Rows {
        let pool = try await database(of: cell)
        do {
            let rows = try await pool.query(statement)
            await pool.close()
            return rows
        } catch {
            await pool.close()
            throw error
        }
    }

    static func text(_ path: String) throws -> String {
        try String(contentsOfFile: path, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
    }
}

/// An image of one sector.
enum TinyImage {
    static let bytes = [UInt8](repeating: 0, count: 510) + [0x55, 0xAA]

    static func create(in session: CloudSession, name: String, visibility: String = "private") async throws -> String {
        let made = try await session.image.expect(
            201, from: .post, "/images",
            [
                "name": .string(name), "disk_format": "raw", "container_format": "bare",
                "visibility": .string(visibility),
            ])
        let id = try made.text("id")
        let upload = try await session.image.send(
            .put, "/images/\(id)/file", bytes: bytes, type: "application/octet-stream")
        guard upload.status == 204 else { throw UnexpectedAnswer(request: "PUT image file", answer: upload) }
        return id
    }
}

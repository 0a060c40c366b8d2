/// How to use a cloud that runs: what `cellwright dev --output json` prints in one line once everything answers.
package struct DevReady: Codable, Sendable, Equatable {
    package struct Server: Codable, Sendable, Equatable {
        package var host: String
        package var port: Int
        /// The administrator; its password is in `passwordFile`.
        package var user: String
        package var passwordFile: String
    }

    package struct Cell: Codable, Sendable, Equatable {
        package var path: String
        /// Name of the database, of its role and of the virtual host.
        package var resource: String
        /// Password of the database role.
        package var databasePasswordFile: String
        package var hosts: [String]
        /// Of the cell's own database server, where it has one.
        package var databasePort: Int?
        /// Of the management API of the cell's own broker, where it has one.
        package var managementPort: Int?
        /// Settings of its supervisor, whether that runs or not.
        package var supervisor: String?
    }

    package struct Process: Codable, Sendable, Equatable {
        package var name: String
        package var pid: Int32
        /// Where it answers `/healthz` and `/metrics`; absent for the servers.
        package var ops: String?
        package var log: String
        package var configuration: String?
    }

    /// This process.
    package var pid: Int32
    package var folder: String
    /// A process with a file of its name in here is not started again.
    package var holdFolder: String { "\(folder)/hold" }
    package var region: String
    /// `http://127.0.0.1:PORT`, the root of every API.
    package var url: String
    /// `url` with `/identity/v3`, for `OS_AUTH_URL`.
    package var authURL: String
    /// clouds.yaml with the clouds `cellwright` and `cellwright-admin`.
    package var cloudsFile: String
    package var database: Server
    package var broker: Server
    /// Port of the broker's management API.
    package var managementPort: Int
    package var cells: [Cell]
    package var processes: [Process]
    /// From the start to this document.
    package var seconds: Double
}

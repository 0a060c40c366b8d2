package import CloudModel
package import PostgresClient

/// What users asked of servers, in `api.instance_actions`.
package struct PostgresInstanceActionStore: InstanceActionStore {
    /// Actions of one server that are ever shown.
    private static let limit = 1000

    private let pool: PostgresPool

    package init(pool: PostgresPool) { self.pool = pool }

    package func record(_ actions: [InstanceActionRecord]) async throws {
        _ = try await pool.pipeline(
            actions.map { action in
                """
                insert into api.instance_actions (server_id, record) values (\(action.serverID), \(PostgresJSON(action)))
                """
            })
    }

    package func actions(of server: ServerID) async throws -> [InstanceActionRecord] {
        try await pool.query(
            """
            select record from api.instance_actions where server_id = \(server) order by id desc limit \(Self.limit)
            """
        ).map { try $0.json("record") }
    }
}

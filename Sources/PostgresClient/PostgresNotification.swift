/// A message that a session sent with NOTIFY or pg_notify().
package struct PostgresNotification: Sendable, Equatable {
    package let channel: String
    /// At most 8000 bytes, by PostgreSQL.
    package let payload: String
    /// The server process that sent it.
    package let processID: Int32
}

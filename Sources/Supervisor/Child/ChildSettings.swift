/// Every interval and bound of a supervisor towards its parent, and of the cell's upkeep.
package struct ChildSettings: Sendable, Equatable {
    /// How often the parent hears how the cell is.
    package var heartbeatInterval: Duration = .milliseconds(500)
    /// How often the database is looked at for that.
    package var pulseInterval: Duration = .milliseconds(500)
    /// Requests of the cell protocol in hand at once.
    package var concurrency = 64
    /// How long a duty stays with a supervisor that is silent.
    package var dutyDuration: Duration = .seconds(5)
    /// How often the publisher looks without a nudge, and keeps its duty.
    package var publishInterval: Duration = .seconds(2)
    /// Events numbered and published at a time.
    package var publishBatch = 500
    /// How long to wait for the broker to confirm a message.
    package var publishTimeout: Duration = .seconds(5)
    /// How often it is looked whether what must be true of the cell is.
    package var reconcileInterval: Duration = .seconds(15)
    /// How often old rows are looked for.
    package var pruneInterval: Duration = .seconds(600)
    /// Published events are kept this long for a parent that was away.
    package var eventRetention: Duration = .seconds(7 * 24 * 3600)
    /// Deleted servers and failed builds are kept this long.
    package var deletedRetention: Duration = .seconds(7 * 24 * 3600)
    /// A question to a host without a deadline of its own waits this long.
    package var queryTimeout: Duration = .seconds(10)

    package init() {}

    /// Of a branch: what it has in hand mostly waits for children, and one that hangs must leave places for the others.
    package static let branch: ChildSettings = {
        var settings = ChildSettings()
        settings.concurrency = 1024
        return settings
    }()
}

/// Every interval and bound of a conductor.
package struct ConductorSettings: Sendable, Equatable {
    /// How often timers are looked at.
    package var tick: Duration = .seconds(1)
    /// Sagas whose owner has been silent this long are taken over.
    package var leaseDuration: Duration = .seconds(10)
    /// How often leases are renewed and abandoned sagas looked for.
    package var sweepInterval: Duration = .seconds(3)
    /// A host is down when it has been silent this long.
    package var hostTimeout: Duration = .seconds(10)
    /// Sagas taken in one transaction.
    package var claimLimit = 100
    /// Sagas held at once; more wait in the database.
    package var heldLimit = 10_000
    /// Reports in hand at once.
    package var prefetch = 200
    /// A command is sent again after this long without an answer, then after twice as long, and so on up to the cap. The
    /// agent answers a repeat of what it did from memory, and lets one of what it is doing wait.
    package var firstRepeat: Duration = .seconds(5)
    package var repeatCap: Duration = .seconds(60)
    /// How long to wait for the broker to confirm a command.
    package var publishTimeout: Duration = .seconds(5)

    package init() {}
}

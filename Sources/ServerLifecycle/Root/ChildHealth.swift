package import CellProtocol
package import FoundationEssentials

/// What a parent thinks of one child, from its pulse alone: a small machine that requests read and never compute.
///
/// Up while heartbeats come; slow when they come late or say that the database is slow; down when they stay away or say
/// that the database is gone.
package struct ChildHealth: Sendable, Equatable {
    /// Without a heartbeat for so long, a child is down (seconds).
    package static let silenceLimit: TimeInterval = 3
    /// A database answer that takes this long makes a child slow (milliseconds).
    package static let slowDatabaseMilliseconds: Double = 500

    package struct View: Sendable, Equatable {
        package var health: CellStatus.Health
        package var reason: String?
        package init(health: CellStatus.Health, reason: String?) {
            self.health = health
            self.reason = reason
        }
    }

    package private(set) var view: View
    package private(set) var since: Date
    package private(set) var heartbeat: CellHeartbeat?
    private let watchedFrom: Date
    private var heardAt: Date?

    /// - Parameters:
    ///   - view: what was thought of it before, by an earlier run of this process.
    ///   - watchedFrom: when listening began: silence before that says nothing.
    package init(view: View, since: Date, heartbeat: CellHeartbeat?, watchedFrom: Date) {
        self.view = view
        self.since = since
        self.heartbeat = heartbeat
        self.watchedFrom = watchedFrom
    }

    /// Takes a heartbeat that arrived at `now`.
    /// - Returns: whether something changed that others should learn.
    package mutating func hear(_ heartbeat: CellHeartbeat, at now: Date) -> Bool {
        heardAt = now
        let old = self.heartbeat
        // Deliveries are handled side by side: an older word must not undo a newer one. Much older: a clock was set back.
        if let old, (0..<Self.silenceLimit).contains(old.sentAt.timeIntervalSince(heartbeat.sentAt)),
            old.sentAt != heartbeat.sentAt
        {
            return judge(at: now)
        }
        self.heartbeat = heartbeat
        let isNews =
            old?.conductorsUp != heartbeat.conductorsUp || old?.hostsUp != heartbeat.hostsUp
            || old?.hosts != heartbeat.hosts || old?.version != heartbeat.version
        return judge(at: now) || isNews
    }

    /// Looks at the clock.
    /// - Returns: whether the view changed.
    package mutating func judge(at now: Date) -> Bool {
        let next = verdict(at: now)
        guard next != view else { return false }
        view = next
        since = now
        return true
    }

    private func verdict(at now: Date) -> View {
        if now.timeIntervalSince(heardAt ?? watchedFrom) > Self.silenceLimit {
            if heardAt == nil, view.health == .down { return view }
            return View(health: .down, reason: "no heartbeat from its supervisor")
        }
        guard heardAt != nil, let heartbeat else { return view }
        if !heartbeat.isDatabaseUp { return View(health: .down, reason: "its database does not answer") }
        if heartbeat.databaseMilliseconds > Self.slowDatabaseMilliseconds {
            return View(health: .slow, reason: "its database is slow")
        }
        return View(health: .up, reason: nil)
    }
}

package import CellProtocol
package import FoundationEssentials

/// What a parent thinks of one child, from its pulse alone: a small machine that requests read and never compute.
///
/// Up while heartbeats come; slow when they say that the database is slow; down when they stay away or say that the
/// database is gone. A broker that does not answer its parent's probe gives silence its reason. Of several supervisors of
/// the child one that is well is enough.
package struct ChildHealth: Sendable, Equatable {
    /// Without a heartbeat for so long, a child is down (seconds). With ``ChildHealth/judgeInterval`` and the way to
    /// those who ask, everybody knows within 3 s.
    package static let silenceLimit: TimeInterval = 2.5
    /// After so long without a heartbeat the broker is probed for the reason (seconds).
    package static let doubtLimit: TimeInterval = 1.5
    /// How often the clock is looked at.
    package static let judgeInterval: Duration = .milliseconds(200)
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

    /// What a message to the child's broker came to, while the supervisor was silent.
    package enum BrokerProbe: Sendable, Equatable {
        /// It takes messages: the silence is the supervisor's.
        case answers
        /// Connected, but it takes nothing: frozen, or blocked.
        case silent
        case unreachable
    }

    package private(set) var view: View
    package private(set) var since: Date
    /// The newest that counts: of several supervisors that speak, always the same one's, so that their differences are no
    /// news again and again.
    package private(set) var heartbeat: CellHeartbeat?
    private let watchedFrom: Date
    private var heardAt: Date?
    /// Of supervisors that spoke within ``silenceLimit``, by name.
    private var voices: [String: Voice] = [:]

    private struct Voice: Sendable, Equatable {
        var heartbeat: CellHeartbeat
        var heardAt: Date
    }
    private var broker: BrokerProbe?

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
        broker = nil
        let name = heartbeat.supervisor ?? ""
        // Deliveries are handled side by side: an older word must not undo a newer one. Much older: a clock was set back.
        if let known = voices[name]?.heartbeat,
            (0..<Self.silenceLimit).contains(known.sentAt.timeIntervalSince(heartbeat.sentAt)),
            known.sentAt != heartbeat.sentAt
        {
            return judge(at: now)
        }
        voices[name] = Voice(heartbeat: heartbeat, heardAt: now)
        return judge(at: now)
    }

    /// Takes the word of the one that counts.
    private mutating func listen(at now: Date) -> Bool {
        voices = voices.filter { now.timeIntervalSince($0.value.heardAt) <= Self.silenceLimit }
        let first = voices.min { left, right in
            let (isLeftUp, isRightUp) = (left.value.heartbeat.isDatabaseUp, right.value.heartbeat.isDatabaseUp)
            return isLeftUp == isRightUp ? left.key < right.key : isLeftUp
        }
        guard let heartbeat = first?.value.heartbeat else { return false }
        let old = self.heartbeat
        self.heartbeat = heartbeat
        return old?.conductorsUp != heartbeat.conductorsUp || old?.hostsUp != heartbeat.hostsUp
            || old?.hosts != heartbeat.hosts || old?.version != heartbeat.version || old?.cells != heartbeat.cells
            || old?.cellsDown != heartbeat.cellsDown
    }

    /// Takes what a probe of the broker came to.
    /// - Returns: whether the view changed.
    package mutating func note(_ broker: BrokerProbe, at now: Date) -> Bool {
        guard isDoubtful(at: now) else { return false }
        self.broker = broker
        return judge(at: now)
    }

    /// Whether the child is silent for long enough to ask its broker.
    package func isDoubtful(at now: Date) -> Bool {
        now.timeIntervalSince(heardAt ?? watchedFrom) > Self.doubtLimit
    }

    /// Whether everybody who speaks for it has spoken so lately that time alone changes nothing yet.
    package func isCalm(at now: Date) -> Bool {
        !voices.isEmpty && voices.values.allSatisfy { now.timeIntervalSince($0.heardAt) <= Self.doubtLimit }
    }

    /// Looks at the clock.
    /// - Returns: whether something changed that others should learn.
    package mutating func judge(at now: Date) -> Bool {
        let isNews = listen(at: now)
        let next = verdict(at: now)
        guard next != view else { return isNews }
        if next.health != view.health { since = now }
        view = next
        return true
    }

    private func verdict(at now: Date) -> View {
        if now.timeIntervalSince(heardAt ?? watchedFrom) > Self.silenceLimit {
            if heardAt == nil, view.health == .down, broker == nil { return view }
            return View(health: .down, reason: silenceReason)
        }
        guard heardAt != nil, !voices.isEmpty else { return view }
        let answers = voices.values.map(\.heartbeat).filter(\.isDatabaseUp)
        guard let quickest = answers.map(\.databaseMilliseconds).min() else {
            return View(health: .down, reason: "its database does not answer")
        }
        return quickest > Self.slowDatabaseMilliseconds
            ? View(health: .slow, reason: "its database is slow") : View(health: .up, reason: nil)
    }

    private var silenceReason: String {
        switch broker {
        case .answers: "its supervisor is silent"
        case .silent: "its message broker takes no messages"
        case .unreachable: "its message broker can't be reached"
        case nil: "no heartbeat from its supervisor"
        }
    }
}

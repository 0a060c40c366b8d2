import CLibvirt
import CloudModel
import Dispatch
import HypervisorDriver
import Primitives
import Synchronization

/// Keeps a way to libvirt open: a thread of its own dials, listens and asks every few seconds whether the daemon answers,
/// and dials again with a growing pause when it does not. Calls run on links of their own, one call a link at a time; when
/// the keeper's link is lost, all others are cut with it.
final class LibvirtConnection: Sendable {
    /// How a silent daemon is noticed: after `interval * (count + 1)` seconds.
    struct KeepAlive: Sendable, Equatable {
        var interval: Int = 5
        var count: Int = 2
    }

    private enum Phase {
        /// The first attempt is under way: calls wait for it.
        case opening
        case open
        case down(String)
        case closed
    }

    private struct State {
        var phase = Phase.opening
        /// Counts the keeper's dials. A link belongs to the dial before it, and is not used after it was lost.
        var dial = 0
        /// The last dial whose link was lost.
        var lostDial = 0
        /// Links for calls that nobody uses now; at most as many as there are threads that call.
        var idle: [LibvirtLink] = []
        /// Of all links.
        var sockets: [ObjectIdentifier: LibvirtSocket] = [:]

        var isOpen: Bool {
            switch phase {
            case .open: true
            case .opening, .down, .closed: false
            }
        }
        func serves(_ dial: Int) -> Bool { isOpen && self.dial == dial }
        var isClosed: Bool {
            switch phase {
            case .closed: true
            case .opening, .open, .down: false
            }
        }
    }

    /// How long a call waits for the first attempt, in seconds. Later calls do not wait: they fail and are repeated.
    static let firstAttemptWait = 10

    /// When all guests are looked at after a connection was opened. A daemon that was started just before takes a while
    /// to find its guests, and sends no event for one that ends meanwhile.
    static let looks: [Duration] = [.zero, .seconds(2), .seconds(8)]

    private let address: LibvirtAddress
    private let keepAlive: KeepAlive
    private let backoff: Backoff
    private let state = Mutex(State())
    private let firstAttempt = DispatchGroup()
    private let isFirstAttempt = Atomic(true)
    private let wakeUp = DispatchSemaphore(value: 0)
    private let ended = DispatchGroup()
    private let reporter: LifecycleReporter

    init(uri: String, keepAlive: KeepAlive, backoff: Backoff, reporter: LifecycleReporter) {
        address = LibvirtAddress(uri)
        self.keepAlive = keepAlive
        self.backoff = backoff
        self.reporter = reporter
        firstAttempt.enter()
        ended.enter()
        NativeThread.start("libvirt-keeper") { [self] in
            keep()
            leaveFirstAttempt()
            ended.leave()
        }
    }

    var isOpen: Bool { state.withLock(\.isOpen) }

    /// Ends the keeper and every call under way. Calls fail from now on.
    func close() {
        state.withLock { $0.phase = .closed }
        cutAll()
        wakeUp.signal()
    }

    /// Waits, blocking this thread, until the keeper has let go of everything, at most some seconds.
    func waitUntilEnded() {
        let secondsLimit = 5
        _ = ended.wait(timeout: .now() + .seconds(secondsLimit))
    }

    // MARK: Calls

    /// Runs a body with a link of its own, on this thread.
    func perform<Value>(
        _ body: (LibvirtSession) throws(HypervisorError) -> Value
    ) throws(HypervisorError) -> Value {
        let dial = try currentDial()
        let link = try borrow(dial)
        let outcome: Result<Value, HypervisorError>
        do throws(HypervisorError) { outcome = .success(try body(LibvirtSession(link))) } catch {
            outcome = .failure(error)
        }
        let isAlive = link.isAlive
        giveBack(link, dial)
        guard case .failure(let error) = outcome, !isAlive else { return try outcome.get() }
        lose(dial, "the connection failed")
        throw .disconnected("\(error)")
    }

    private func currentDial() throws(HypervisorError) -> Int {
        if case .opening = state.withLock(\.phase) {
            _ = firstAttempt.wait(timeout: .now() + .seconds(Self.firstAttemptWait))
        }
        let (phase, dial) = state.withLock { ($0.phase, $0.dial) }
        switch phase {
        case .open: return dial
        case .opening: throw .disconnected("libvirtd does not answer")
        case .down(let reason): throw .disconnected(reason)
        case .closed: throw .disconnected("closed")
        }
    }

    private func borrow(_ dial: Int) throws(HypervisorError) -> LibvirtLink {
        if let link = state.withLock({ $0.serves(dial) ? $0.idle.popLast() : nil }) { return link }
        let link = try LibvirtLink(address, opener: ObjectIdentifier(self)) { state.withLock { $0.serves(dial) } }
        guard enlist(link, { $0.serves(dial) }) else {
            link.close()
            throw .disconnected("the connection was lost meanwhile")
        }
        return link
    }

    private func giveBack(_ link: LibvirtLink, _ dial: Int) {
        let isKept =
            link.isAlive
            && state.withLock { state in
                guard state.serves(dial) else { return false }
                state.idle.append(link)
                return true
            }
        if !isKept { discard(link) }
    }

    /// Makes a link's socket one of those that are cut with the connection, unless it is too late.
    private func enlist(_ link: LibvirtLink, _ isWanted: (State) -> Bool) -> Bool {
        state.withLock { state in
            guard isWanted(state) else { return false }
            state.sockets[ObjectIdentifier(link)] = link.socket
            return true
        }
    }

    private func discard(_ link: LibvirtLink) {
        link.close()
        state.withLock { $0.sockets[ObjectIdentifier(link)] = nil }
    }

    // MARK: The keeper

    private func keep() {
        guard LibvirtEventLoop.start(),
            let watchdog = Watchdog(
                milliseconds: Int32(keepAlive.interval * keepAlive.count * 1000),
                onExpiry: { [weak self] in self?.cutAll() })
        else {
            return enter(.down("libvirt's client cannot be used in this process"))
        }
        var generator = SystemRandomNumberGenerator()
        var failures = 0
        var isFirstLook = true
        while !state.withLock(\.isClosed) {
            do throws(HypervisorError) {
                let link = try watchdog.guarding { () throws(HypervisorError) in try dial() }
                leaveFirstAttempt()
                failures = 0
                watch(link, watchdog, &isFirstLook)
                watchdog.guarding { discard(link) }
            } catch {
                enter(.down("\(error)"))
                leaveFirstAttempt()
                pause(backoff.delay(attempt: failures, using: &generator))
                failures += 1
            }
            watchdog.guarding { discardIdle() }
        }
    }

    private func dial() throws(HypervisorError) -> LibvirtLink {
        let dial = state.withLock { state in
            state.dial += 1
            return state.dial
        }
        let link = try LibvirtLink(address, opener: ObjectIdentifier(self)) { !state.withLock(\.isClosed) }
        guard enlist(link, { !$0.isClosed }) else {
            link.close()
            throw .disconnected("closed")
        }
        do throws(HypervisorError) {
            try link.listen(
                LibvirtLink.Listener(
                    onLifecycle: { [reporter] in reporter.event($0, $1) },
                    onLost: { [weak self] in self?.lose(dial, $0) }))
        } catch {
            discard(link)
            throw error
        }
        let isOpen = state.withLock { state in
            // It may have been lost already, or closed by its owner.
            guard state.lostDial < dial, !state.isClosed else { return false }
            state.phase = .open
            return true
        }
        guard isOpen else {
            discard(link)
            throw .disconnected("the connection was lost at once")
        }
        return link
    }

    /// Returns when the link is lost.
    private func watch(_ link: LibvirtLink, _ watchdog: Watchdog, _ isFirstLook: inout Bool) {
        var pauses = Self.looks[...]
        let dial = state.withLock(\.dial)
        while state.withLock(\.isOpen) {
            let pause = min(pauses.first ?? .seconds(keepAlive.interval), .seconds(keepAlive.interval))
            if pause > .zero, wakeUp.wait(timeout: .now() + pause.dispatchInterval) == .success { continue }
            let isLook = pauses.first.map { $0 <= pause } ?? false
            if let first = pauses.popFirst(), !isLook { pauses = [first - pause] + pauses }
            do throws(HypervisorError) {
                try watchdog.guarding { () throws(HypervisorError) in
                    guard isLook else { return try link.ping() }
                    try reporter.look(isFirst: isFirstLook) { () throws(HypervisorError) in
                        try LibvirtSession(link).guests { watchdog.prolong() }
                    }
                    isFirstLook = false
                }
            } catch {
                // After a look that failed the next comes soon, on this link or, if it is dead, on the next.
                if !link.isAlive { lose(dial, "\(error)") }
            }
        }
    }

    private func discardIdle() {
        let links = state.withLock { state in
            defer { state.idle = [] }
            return state.idle
        }
        for link in links { discard(link) }
    }

    /// Waits, unless this is closed. What woke the keeper before is no reason to hurry now.
    private func pause(_ duration: Duration) {
        while wakeUp.wait(timeout: .now()) == .success {}
        guard !state.withLock(\.isClosed) else { return }
        _ = wakeUp.wait(timeout: .now() + duration.dispatchInterval)
    }

    private func leaveFirstAttempt() {
        guard isFirstAttempt.exchange(false, ordering: .relaxed) else { return }
        firstAttempt.leave()
    }

    /// A closed connection stays closed.
    private func enter(_ next: Phase) {
        state.withLock { if !$0.isClosed { $0.phase = next } }
    }

    private func lose(_ dial: Int, _ reason: String) {
        let isNews = state.withLock { state in
            guard state.dial == dial, state.lostDial < dial else { return false }
            state.lostDial = dial
            if state.isOpen { state.phase = .down(reason) }
            return true
        }
        guard isNews else { return }
        cutAll()
        wakeUp.signal()
    }

    /// Makes every call under way return, also those that open a link.
    private func cutAll() {
        let sockets = state.withLock { Array($0.sockets.values) }
        for socket in sockets { socket.cut() }
        if !address.socketNames.isEmpty { LibvirtSocket.cutUnclaimed(address, opener: ObjectIdentifier(self)) }
    }
}

extension Duration {
    /// In whole milliseconds.
    fileprivate var dispatchInterval: DispatchTimeInterval { .milliseconds(Int(self / .milliseconds(1))) }
}

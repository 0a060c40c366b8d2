import CLibvirt
import CloudModel
import Dispatch
import HypervisorDriver
import Primitives
import Synchronization

/// Keeps a connection to libvirt open: a thread of its own dials, waits until the link is lost, and dials again with a
/// growing pause.
final class LibvirtConnection: Sendable {
    private enum Phase {
        /// The first attempt is under way: calls wait for it.
        case opening
        case open(LibvirtLink)
        case down(String)
        case closed
    }

    /// How long a call waits for the first attempt, in seconds. Later calls do not wait: they fail and are repeated.
    static let firstAttemptWait = 10

    /// When all guests are looked at after a connection was opened. A daemon that was started just before takes a while
    /// to find its guests, and sends no event for one that ends meanwhile.
    static let looks: [Duration] = [.zero, .seconds(2), .seconds(8)]

    private let uri: String
    private let keepAlive: LibvirtLink.KeepAlive
    private let backoff: Backoff
    private let phase = Mutex(Phase.opening)
    private let firstAttempt = DispatchGroup()
    private let isFirstAttempt = Atomic(true)
    private let wakeUp = DispatchSemaphore(value: 0)
    private let ended = DispatchGroup()
    private let reporter: LifecycleReporter

    init(uri: String, keepAlive: LibvirtLink.KeepAlive, backoff: Backoff, reporter: LifecycleReporter) {
        self.uri = uri
        self.keepAlive = keepAlive
        self.backoff = backoff
        self.reporter = reporter
        firstAttempt.enter()
        ended.enter()
        NativeThread.start("libvirt-keeper") { [self] in keep() }
    }

    var isOpen: Bool {
        phase.withLock {
            switch $0 {
            case .open: true
            case .opening, .down, .closed: false
            }
        }
    }

    /// Runs a body with the open connection, on this thread.
    func perform<Value>(
        _ body: (LibvirtSession) throws(HypervisorError) -> Value
    ) throws(HypervisorError) -> Value {
        let link = try currentLink()
        do throws(HypervisorError) {
            return try body(LibvirtSession(link))
        } catch {
            guard !link.isAlive else { throw error }
            lose(link, "the connection failed")
            throw .disconnected("\(error)")
        }
    }

    /// Ends the keeper. Calls fail from now on.
    func close() {
        phase.withLock { $0 = .closed }
        wakeUp.signal()
    }

    /// Waits, blocking this thread, until the keeper has let go of everything, at most some seconds: libvirt's client
    /// cannot be interrupted while it dials a daemon that is frozen.
    func waitUntilEnded() {
        let secondsLimit = 5
        _ = ended.wait(timeout: .now() + .seconds(secondsLimit))
    }

    private func currentLink() throws(HypervisorError) -> LibvirtLink {
        if case .opening = phase.withLock(\.self) {
            _ = firstAttempt.wait(timeout: .now() + .seconds(Self.firstAttemptWait))
        }
        switch phase.withLock(\.self) {
        case .open(let link): return link
        case .opening: throw .disconnected("libvirtd does not answer")
        case .down(let reason): throw .disconnected(reason)
        case .closed: throw .disconnected("closed")
        }
    }

    // MARK: The keeper

    private func keep() {
        var generator = SystemRandomNumberGenerator()
        var failures = 0
        var isFirstLook = true
        while !isClosed {
            do throws(HypervisorError) {
                let link = try open()
                leaveFirstAttempt()
                failures = 0
                watch(link, &isFirstLook)
                link.retire()
            } catch {
                enter(.down("\(error)"))
                leaveFirstAttempt()
                _ = wakeUp.wait(timeout: .now() + backoff.delay(attempt: failures, using: &generator).dispatchInterval)
                failures += 1
            }
        }
        leaveFirstAttempt()
        ended.leave()
    }

    /// Returns when the link is lost.
    private func watch(_ link: LibvirtLink, _ isFirstLook: inout Bool) {
        var pauses = Self.looks[...]
        while isCurrent(link) {
            if let pause = pauses.first {
                if pause == .zero || wakeUp.wait(timeout: .now() + pause.dispatchInterval) == .timedOut {
                    pauses.removeFirst()
                    look(link, isFirst: isFirstLook)
                    isFirstLook = false
                }
            } else {
                wakeUp.wait()
            }
        }
    }

    private func look(_ link: LibvirtLink, isFirst: Bool) {
        do throws(HypervisorError) {
            try reporter.look(isFirst: isFirst) { () throws(HypervisorError) in try LibvirtSession(link).guests() }
        } catch {
            // The next look comes soon, on this link or, if it is dead, on the next.
            if !link.isAlive { lose(link, "\(error)") }
        }
    }

    private func open() throws(HypervisorError) -> LibvirtLink {
        let lost = LostFlag()
        let listener = LibvirtLink.Listener(
            onLifecycle: { [reporter] in reporter.event($0, $1) },
            onLost: { [self] reason in
                lost.raise()
                loseCurrent(reason)
            })
        let link = try LibvirtLink.open(uri, keepAlive: keepAlive, listener: listener)
        enter(.open(link))
        // It may have been lost before it was the current one.
        if lost.isRaised || !link.isAlive { lose(link, "the connection was lost at once") }
        return link
    }

    private func leaveFirstAttempt() {
        guard isFirstAttempt.exchange(false, ordering: .relaxed) else { return }
        firstAttempt.leave()
    }

    private var isClosed: Bool {
        phase.withLock {
            switch $0 {
            case .closed: true
            case .opening, .open, .down: false
            }
        }
    }

    private func isCurrent(_ link: LibvirtLink) -> Bool {
        phase.withLock {
            switch $0 {
            case .open(let current): current === link
            case .opening, .down, .closed: false
            }
        }
    }

    /// A closed connection stays closed.
    private func enter(_ next: Phase) {
        phase.withLock { phase in
            if case .closed = phase { return }
            phase = next
        }
    }

    private func loseCurrent(_ reason: String) {
        phase.withLock { phase in
            if case .open = phase { phase = .down(reason) }
        }
        wakeUp.signal()
    }

    private func lose(_ link: LibvirtLink, _ reason: String) {
        phase.withLock { phase in
            if case .open(let current) = phase, current === link { phase = .down(reason) }
        }
        wakeUp.signal()
    }
}

/// Raised by the event thread, read by the keeper.
private final class LostFlag: Sendable {
    private let flag = Atomic(false)
    var isRaised: Bool { flag.load(ordering: .acquiring) }
    func raise() { flag.store(true, ordering: .releasing) }
}

extension Duration {
    /// In whole milliseconds.
    fileprivate var dispatchInterval: DispatchTimeInterval { .milliseconds(Int(self / .milliseconds(1))) }
}

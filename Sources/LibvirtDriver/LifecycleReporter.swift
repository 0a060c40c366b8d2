import CloudModel
import HypervisorDriver
import Synchronization

/// Turns libvirt's events, and looks at all guests, into one stream of changes.
///
/// Events alone are not enough: those of the time without a connection are lost, and libvirtd sends none for a guest that
/// ends while a restarted daemon is still finding its guests. So all guests are looked at when a connection was opened
/// and again a while later, and what is not as it was last reported is reported.
final class LifecycleReporter: Sendable {
    private struct State {
        var known: [ServerID: PowerState] = [:]
        /// Guests with an event since the look under way began: that event is newer than the look.
        var touched: Set<ServerID>?
    }

    private let state = Mutex(State())
    private let sink: AsyncStream<GuestLifecycle>.Continuation

    init(sink: AsyncStream<GuestLifecycle>.Continuation) { self.sink = sink }

    /// An event: the guest's power now, or `nil` when it is no longer defined.
    func event(_ id: ServerID, _ power: PowerState?) {
        state.withLock { state in
            state.touched?.insert(id)
            state.known[id] = power
            if let power { sink.yield(GuestLifecycle(id: id, power: power)) }
        }
    }

    /// Looks at all guests. The first look only learns how they are.
    func look(isFirst: Bool, _ guests: () throws(HypervisorError) -> [ServerID: PowerState]) throws(HypervisorError) {
        state.withLock { $0.touched = [] }
        defer { state.withLock { $0.touched = nil } }
        let found = try guests()
        state.withLock { state in
            let touched = state.touched ?? []
            for (id, power) in found where !touched.contains(id) && state.known[id] != power {
                state.known[id] = power
                if !isFirst { sink.yield(GuestLifecycle(id: id, power: power)) }
            }
            state.known = state.known.filter { found[$0.key] != nil || touched.contains($0.key) }
        }
    }
}

import Primitives
import Synchronization

/// What was asked of a cloud and what it answered; finds answers that can't have been true.
///
/// What is known before a request is sent, and still when its answer has come, must be in the answer.
final class FaultLedger: Sendable {
    struct Counts: Sendable {
        /// Creates answered 202, stops answered 202, deletes answered 204.
        var creates = 0
        var stops = 0
        var deletes = 0
        /// Answers 200 to lists and shows.
        var lists = 0
        var shows = 0
        /// Lists that said that they are not whole.
        var partial = 0
        /// Answered 5xx, or not at all: they may have been carried out or not.
        var unanswered = 0
        /// How servers ended that were accepted.
        var active = 0
        var stopped = 0
        /// Stops that failed, and say so.
        var unstopped = 0
        var errors = 0
        var gone = 0
    }

    struct Server: Sendable, Equatable {
        var name: String
        var wasActive = false
        /// A delete may have been carried out from then on.
        var isDeleteAsked = false
        /// 404 was answered after its delete.
        var isGone = false
    }

    /// What a request's answer must agree with.
    struct Expectation: Sendable {
        fileprivate var present: Set<String>
        fileprivate var gone: Set<String>
    }

    private struct State {
        var counts = Counts()
        var servers: [String: Server] = [:]
        var lies: [String] = []
        /// Why servers are in ERROR.
        var reasons: [String: String] = [:]
    }

    private let state = Mutex(State())

    var counts: Counts { state.withLock { $0.counts } }
    var servers: [String: Server] { state.withLock { $0.servers } }
    /// Answers that were not true, and requests that were lost.
    var lies: [String] { state.withLock { $0.lies } }

    /// Why servers came to be in ERROR, and how many did.
    var reasons: [String: Int] {
        state.withLock { Dictionary(grouping: $0.reasons.values) { $0 }.mapValues(\.count) }
    }

    func count(_ change: (inout Counts) -> Void) { state.withLock { change(&$0.counts) } }
    func report(_ lie: String) { state.withLock { $0.lies.append(lie) } }

    func accepted(_ id: String, _ name: String) {
        state.withLock { state in
            state.counts.creates += 1
            if state.servers[id] != nil { state.lies.append("\(id) was made twice") }
            state.servers[id] = Server(name: name)
        }
    }

    /// Before a delete is sent.
    func deleteIsAsked(_ id: String) { state.withLock { $0.servers[id]?.isDeleteAsked = true } }

    func expectation() -> Expectation {
        state.withLock { state in
            Expectation(
                present: Set(state.servers.filter { !$0.value.isDeleteAsked }.keys),
                gone: Set(state.servers.filter { $0.value.isGone }.keys))
        }
    }

    /// A cell that is down is not asked, and its records say so by this status: they claim nothing.
    private static let unknown = "UNKNOWN"

    /// Takes a list that was answered 200: status by id.
    func take(list statuses: [String: String], isPartial: Bool, _ expected: Expectation) {
        state.withLock { state in
            state.counts.lists += 1
            if isPartial { state.counts.partial += 1 }
            let present: Set<String> =
                isPartial ? [] : expected.present.filter { state.servers[$0]?.isDeleteAsked == false }
            let missing = present.subtracting(statuses.keys)
            let risen = expected.gone.filter { id in statuses[id].map { $0 != Self.unknown } ?? false }
            if !missing.isEmpty { state.lies.append("a list lacks \(missing.sorted())") }
            if !risen.isEmpty {
                state.lies.append("a list has what was gone: \(risen.map { "\($0) \(statuses[$0] ?? "")" })")
            }
        }
    }

    /// Takes what a show answered: nil for 404.
    func take(show id: String, _ server: JSONValue?, _ expected: Expectation) {
        state.withLock { state in
            state.counts.shows += 1
            guard let server else {
                if state.servers[id]?.isDeleteAsked == false {
                    state.lies.append("\(id) was accepted and is answered 404")
                } else if state.servers[id]?.isGone == false {
                    state.servers[id]?.isGone = true
                    state.counts.gone += 1
                }
                return
            }
            let status = server["status"]?.string ?? "none"
            if expected.gone.contains(id), status != Self.unknown {
                state.lies.append("\(id) was answered 404 and is \(status)")
            }
            let isOurs = state.servers[id]?.isDeleteAsked == false
            if status == "ERROR" {
                let reason = server["fault"]?["message"]?.string ?? ""
                state.reasons[id] = reason
                if reason.isEmpty { state.lies.append("\(id) is in ERROR and does not say why") }
            }
            if isOurs, status == "BUILD", state.servers[id]?.wasActive == true {
                state.lies.append("\(id) was ACTIVE and is in BUILD")
            }
            if status == "ACTIVE" { state.servers[id]?.wasActive = true }
        }
    }
}

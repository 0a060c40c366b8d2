package import FoundationEssentials

/// An operator's word on whether a cell or a host gets new servers. Schedulers obey it from the next placement on;
/// what already runs there is left alone.
package struct PlacementOrder: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable, CaseIterable {
        case enabled
        /// No new servers; what is there stays.
        case disabled
        /// No new servers, and it is meant to become empty.
        case draining
    }

    /// Characters of a reason.
    package static let reasonLimit = 255

    package var state: State
    /// Why, in the operator's words.
    package var reason: String?
    /// When it was said.
    package var since: Date

    package init(_ state: State, reason: String? = nil, since: Date) {
        self.state = state
        self.reason = reason
        self.since = since
    }

    package var isOpen: Bool { state == .enabled }
}

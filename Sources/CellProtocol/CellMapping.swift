package import CloudModel
package import FoundationEssentials
package import Primitives

/// A child cell as its parent maps it: where its virtual host is, and how it was when last heard of.
package struct CellMapping: Codable, Sendable, Equatable {
    /// The parent's own user in the child's virtual host.
    package struct Endpoint: Codable, Sendable, Equatable {
        package var host: String
        package var port: Int
        package var vhost: String
        package var user: String
        package var password: Secret
        /// What the password will be, while it is being replaced.
        package var nextPassword: Secret?
        /// Whether the child's broker speaks TLS; absent is no.
        package var tls: Bool?
        /// The file, on the parent's hosts, by which a broker that somebody else runs is verified; absent for one of the
        /// cloud's own, which knows its clients by their certificates.
        package var authority: String?

        package init(
            host: String, port: Int, vhost: String, user: String, password: Secret, nextPassword: Secret? = nil,
            tls: Bool? = nil, authority: String? = nil
        ) {
            self.host = host
            self.port = port
            self.vhost = vhost
            self.user = user
            self.password = password
            self.nextPassword = nextPassword
            self.tls = tls
            self.authority = authority
        }

        /// To be tried in this order.
        package var passwords: [Secret] { [password] + (nextPassword.map { [$0] } ?? []) }

        /// Whether a connection made with the other may stay: only passwords differ.
        package func isSamePlace(as other: Endpoint) -> Bool {
            var same = other
            same.password = password
            same.nextPassword = nextPassword
            return same == self
        }
    }

    package var path: CellPath
    package var bus: Endpoint
    /// An operator's word: a disabled cell gets no new servers.
    package var isEnabled: Bool
    /// The newest event that was applied.
    package var lastSequence: Int64
    package var health: CellStatus.Health
    package var reason: String?
    package var since: Date
    package var heartbeat: CellHeartbeat?
    /// The directory has lost rows of it, or an operator asks for it: they are to be read from the cell again.
    package var isResyncWanted: Bool

    package init(
        path: CellPath, bus: Endpoint, isEnabled: Bool = true, lastSequence: Int64 = 0,
        health: CellStatus.Health = .down, reason: String? = "not heard of yet", since: Date,
        heartbeat: CellHeartbeat? = nil, isResyncWanted: Bool = false
    ) {
        self.path = path
        self.bus = bus
        self.isEnabled = isEnabled
        self.lastSequence = lastSequence
        self.health = health
        self.reason = reason
        self.since = since
        self.heartbeat = heartbeat
        self.isResyncWanted = isResyncWanted
    }
}

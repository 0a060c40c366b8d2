package import CloudModel
package import MessageBus

/// The root's writes for the API: what it accepts is durable before it answers. Adapter: `Persistence`.
package protocol ServerAcceptance: Sendable {
    /// Accepts new servers in one root transaction: quota checked, group joined, ports reserved, directory rows and build
    /// requests written, scheduler notified. All or none. A repeat of what was accepted before changes nothing.
    /// - Returns: the instances with their interfaces and security groups, in the order given; those of a repeat without.
    /// - Throws: ``QuotaExceeded``, ``ServerGroupNotFound``, ``PortReservationError``.
    func accept(_ servers: NewServers) async throws -> [Instance]

    /// Accepts a delete in one root transaction. A server without a cell goes at once with its ports and its build
    /// request; of any other the directory row becomes `deleting` and the command waits in the root's outbox, so that a
    /// cell that is down does not lose it. Repeating it is harmless.
    func delete(_ id: ServerID, requestID: String, caller: Caller) async throws -> ServerDeletion
}

/// Servers of one request, not placed yet.
package struct NewServers: Sendable {
    package struct Server: Sendable {
        /// The instance is in state scheduling, without host and interfaces.
        package var build: BuildSpecification
        package var ports: PortReservation
        /// An administrator's choice of host (`az:host`); nil lets the scheduler choose.
        package var forcedHost: HostName?

        package init(build: BuildSpecification, ports: PortReservation, forcedHost: HostName? = nil) {
            self.build = build
            self.ports = ports
            self.forcedHost = forcedHost
        }
    }

    /// All of one project and one user.
    package var servers: [Server]
    /// Of the project.
    package var quota: ComputeQuota
    /// Of the user in the project, where an administrator set one.
    package var userQuota: ComputeQuota?
    /// The project's group that all of them join.
    package var group: ServerGroupID?
    /// Whether the servers' ids follow from the request, so that those of an earlier try may be there already.
    package var isRepeatable: Bool

    package init(
        servers: [Server], quota: ComputeQuota, userQuota: ComputeQuota? = nil, group: ServerGroupID? = nil,
        isRepeatable: Bool = false
    ) {
        self.servers = servers
        self.quota = quota
        self.userQuota = userQuota
        self.group = group
        self.isRepeatable = isRepeatable
    }

    /// Members that one user may have in a group; -1 for no bound.
    package var groupMemberLimit: Int { (userQuota ?? quota).serverGroupMembers }
}

package enum ServerDeletion: Sendable, Equatable {
    /// It had no cell and is gone.
    case deleted
    /// Its cell will do it.
    case requested
    case notFound
}

/// Signs leave to fetch one image (see ``ImageTicket``).
package protocol ImageTicketIssuer: Sendable {
    func ticket(for image: ImageID) async throws -> ImageTicket
}

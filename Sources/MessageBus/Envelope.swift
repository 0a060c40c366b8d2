package import FoundationEssentials

/// Who asked: the identity that a request carries through the bus, so that every cell can authorise and record it.
package struct Caller: Codable, Sendable, Equatable {
    package var userID: String
    package var projectID: String
    package var roles: [String]

    package init(userID: String, projectID: String, roles: [String]) {
        self.userID = userID
        self.projectID = projectID
        self.roles = roles
    }

    package var isAdmin: Bool { roles.contains("admin") }
}

/// What travels on the bus. Wire types only grow: a new optional field or a new `kind`, never a changed meaning.
package struct Envelope: Codable, Sendable, Equatable {
    package static let currentVersion = 1
    /// Bodies past this are refused by sender and receiver alike.
    package static let bodyLimitBytes = 16 * 1024 * 1024

    /// Version of this envelope's own shape.
    package var version: Int
    /// This message, for tracing and for matching a reply to its call.
    package var messageID: UUID
    /// What the message is about doing once: receivers treat a second message with the same key as a repeat.
    package var idempotencyKey: String
    package var requestID: String
    /// W3C trace context (`traceparent`), if the request has one.
    package var traceParent: String?
    /// When the sender stops waiting; receivers drop what is late.
    package var deadline: Date?
    /// The sending service, as `<service>@<cell path>` or `compute@<host>`; informative, never trusted.
    package var sender: String
    package var caller: Caller?
    /// Path of the cell that it is for, where that is not the one whose virtual host it goes through: a branch passes it
    /// on without reading it.
    package var cell: String?
    /// Names the type of `body`, for instance `cell.build` or `agent.step-result`.
    package var kind: String
    /// JSON of the type that `kind` names.
    package var body: Data

    package init(
        messageID: UUID, idempotencyKey: String? = nil, requestID: String, traceParent: String? = nil,
        deadline: Date? = nil, sender: String, caller: Caller? = nil, cell: String? = nil, kind: String,
        body: Data
    ) {
        self.version = Self.currentVersion
        self.messageID = messageID
        self.idempotencyKey = idempotencyKey ?? messageID.uuidString.lowercased()
        self.requestID = requestID
        self.traceParent = traceParent
        self.deadline = deadline
        self.sender = sender
        self.caller = caller
        self.cell = cell
        self.kind = kind
        self.body = body
    }
}

package import CloudModel
package import FoundationEssentials

/// What was asked of a server, as its cell's log tells it: the API's instance actions with their events.
package struct ActionsRequest: CellRequest {
    package static let kind = "cell.actions"
    /// Actions of one answer, the newest.
    package static let limit = 1000

    package struct Action: Codable, Sendable, Equatable {
        /// `create`, `start`, `lock` ...
        package var action: String
        package var requestID: String
        package var userID: String
        package var projectID: String
        package var startedAt: Date
        /// Nil while it runs.
        package var finishedAt: Date?
        package var updatedAt: Date
        /// Why it did not go well, safe for the server's users; nil when it did, and while it runs.
        package var message: String?
        /// Where it was carried out; nil for what needed no host.
        package var host: HostName?
        /// In the order in which they were begun; empty unless one request is asked for.
        package var steps: [StepRun]

        package init(
            action: String, requestID: String, userID: String, projectID: String, startedAt: Date, finishedAt: Date?,
            updatedAt: Date, message: String?, host: HostName?, steps: [StepRun]
        ) {
            self.action = action
            self.requestID = requestID
            self.userID = userID
            self.projectID = projectID
            self.startedAt = startedAt
            self.finishedAt = finishedAt
            self.updatedAt = updatedAt
            self.message = message
            self.host = host
            self.steps = steps
        }
    }

    package struct Reply: Codable, Sendable {
        /// Newest first; none of a server that the cell does not know, or that is another project's.
        package var actions: [Action]
        package init(actions: [Action]) { self.actions = actions }
    }

    package var id: ServerID
    /// Only what this request asked for, with its steps.
    package var requestID: String?
    package init(id: ServerID, requestID: String? = nil) {
        self.id = id
        self.requestID = requestID
    }
}

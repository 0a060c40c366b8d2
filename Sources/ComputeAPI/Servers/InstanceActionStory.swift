import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import Primitives
import ServerViews

/// One thing that was asked of a server, put together from what the root and the server's cells know of it.
struct InstanceActionStory: Sendable {
    struct Event: Sendable {
        var name: String
        var startedAt: Date
        var finishedAt: Date?
        /// Nil as long as that is not known.
        var isSuccess: Bool?
        var host: HostName?
        /// For operators.
        var details: String?
    }

    var action: String
    var requestID: String
    var userID: String
    var projectID: String
    var startedAt: Date
    var updatedAt: Date
    var message: String?
    /// Newest first.
    var events: [Event] = []

    private init(_ record: InstanceActionRecord) {
        action = record.action
        requestID = record.requestID
        userID = record.userID.text
        projectID = record.projectID.text
        startedAt = record.startedAt
        updatedAt = record.startedAt
        message = record.message
    }

    private init(_ told: ActionsRequest.Action) {
        action = told.action
        requestID = told.requestID
        userID = told.userID
        projectID = told.projectID
        startedAt = told.startedAt
        updatedAt = told.updatedAt
    }

    /// What the root accepted, with what cells tell of it, and what only cells know; newest first. One request may be many
    /// builds, the last of which says how it ended.
    static func merge(_ known: [InstanceActionRecord], _ told: [ActionsRequest.Action]) -> [InstanceActionStory] {
        var parts = Dictionary(grouping: told, by: \.requestID)
        var stories = known.map { record in
            var story = InstanceActionStory(record)
            story.add(parts.removeValue(forKey: record.requestID) ?? [])
            return story
        }
        for unknown in parts.values {
            guard let first = unknown.min(by: { $0.startedAt < $1.startedAt }) else { continue }
            var story = InstanceActionStory(first)
            story.add(unknown)
            stories.append(story)
        }
        // A sort that keeps the order of equals.
        return stories.enumerated().sorted {
            ($1.element.startedAt, $0.offset) < ($0.element.startedAt, $1.offset)
        }.map(\.element)
    }

    private mutating func add(_ parts: [ActionsRequest.Action]) {
        let sorted = parts.sorted { $0.startedAt < $1.startedAt }
        guard let last = sorted.last else { return }
        message = last.message
        updatedAt = sorted.map(\.updatedAt).reduce(updatedAt, max)
        for part in sorted {
            events += part.steps.map { run in
                Event(
                    name: run.isUndo ? "compute_undo_\(run.step)" : "compute_\(run.step)", startedAt: run.startedAt,
                    finishedAt: run.finishedAt, isSuccess: run.isSuccess, host: part.host, details: run.details)
            }
        }
        sortEvents()
    }

    /// Where the scheduler sent a build to.
    /// - Parameter fault: why there is no host for it.
    mutating func add(_ attempts: [PlacementAttempt], fault: String?, isWhole: Bool) {
        for attempt in attempts {
            updatedAt = max(updatedAt, attempt.failedAt ?? attempt.placedAt)
            guard isWhole else { continue }
            events.append(
                Event(
                    name: "scheduler_place", startedAt: attempt.placedAt,
                    finishedAt: attempt.failedAt ?? attempt.placedAt, isSuccess: attempt.failure == nil,
                    host: attempt.host, details: attempt.failure))
        }
        message = fault ?? message ?? attempts.last?.failure
        sortEvents()
    }

    private mutating func sortEvents() { events.sort { $0.startedAt > $1.startedAt } }
}

/// Instance actions as each microversion shows them.
enum InstanceActionView {
    static func members(
        _ story: InstanceActionStory, _ server: ServerID, _ request: ComputeRequest
    ) -> [String: JSONValue] {
        var members: [String: JSONValue] = [
            "action": .string(story.action), "instance_uuid": .string(server.description),
            "request_id": .string(story.requestID), "user_id": .string(story.userID),
            "project_id": .string(story.projectID), "start_time": time(story.startedAt),
            "message": JSONValue(story.message),
        ]
        if request.version >= 58 { members["updated_at"] = time(story.updatedAt) }
        return members
    }

    /// There are no tracebacks: what operators need is in `details`.
    static func event(
        _ event: InstanceActionStory.Event, _ story: InstanceActionStory, _ request: ComputeRequest
    ) -> [String: JSONValue] {
        var members: [String: JSONValue] = [
            "event": .string(event.name), "start_time": time(event.startedAt),
            "finish_time": event.finishedAt.map(time) ?? .null,
            "result": event.isSuccess.map { $0 ? "Success" : "Error" } ?? .null,
        ]
        if request.isAdmin { members["traceback"] = .null }
        if request.version >= 62 {
            members["hostId"] = .string(HostID.text(project: ProjectID(story.projectID), host: event.host))
            if request.isAdmin { members["host"] = JSONValue(event.host?.text) }
        }
        if request.version >= 84, request.isAdmin { members["details"] = JSONValue(event.details) }
        return members
    }

    private static func time(_ date: Date) -> JSONValue { .string(Timestamp.naiveMicroseconds(date)) }
}

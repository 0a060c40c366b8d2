import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives
import ServerViews

/// `os-instance-actions`: what was asked of a server, step by step as its cells' logs tell it.
///
/// The root knows what it accepted and where it was sent; how it went, the cells know. While one is down, what it knows is
/// left out: no events, no message, no later time.
struct InstanceActionEndpoints: ComputeEndpoints {
    private let dependencies: ComputeDependencies
    private let servers: ServerAccess

    init(_ dependencies: ComputeDependencies, _ servers: ServerAccess) {
        self.dependencies = dependencies
        self.servers = servers
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "servers/{id}/os-instance-actions", .reader, list),
            ComputeRoute(.get, "servers/{id}/os-instance-actions/{sub}", .reader, show),
        ]
    }

    private func list(_ request: ComputeRequest) async throws -> Response {
        let page = try request.page()
        let since = try time("changes-since", from: 58, request)
        let before = try time("changes-before", from: 66, request)
        let id = try await server(request)
        var stories = try await stories(of: id, nil, request)[...]
        var body: [String: JSONValue] = [:]
        if request.version >= 58 {
            if let marker = page.marker {
                guard let index = stories.firstIndex(where: { $0.requestID == marker }) else {
                    throw APIFault.badRequest("Marker \(marker.prefix(255)) could not be found.")
                }
                stories = stories[(index + 1)...]
            }
            if let since { stories = stories.filter { $0.updatedAt >= since }[...] }
            if let before { stories = stories.filter { $0.updatedAt <= before }[...] }
            if stories.count > page.limit {
                stories = stories.prefix(page.limit)
                if let last = stories.last {
                    let link = request.nextLink("servers/\(id.server)/os-instance-actions", lastID: last.requestID)
                    body["links"] = [["rel": "next", "href": .string(link)]]
                }
            }
        }
        body["instanceActions"] = .array(stories.map { .object(InstanceActionView.members($0, id.server, request)) })
        return .json(.object(body))
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        let id = try await server(request)
        guard let story = try await stories(of: id, request.sub, request).first else {
            throw APIFault.notFound(
                "Action for request_id \(request.sub.prefix(255)) on instance \(id.server) not found")
        }
        var members = InstanceActionView.members(story, id.server, request)
        if request.isAdmin || request.version >= 51 {
            members["events"] = .array(story.events.map { .object(InstanceActionView.event($0, story, request)) })
        }
        return .json(["instanceAction": .object(members)])
    }

    private func time(_ name: String, from minor: Int, _ request: ComputeRequest) throws(APIFault) -> Date? {
        guard request.version >= minor, let text = request.query[name] else { return nil }
        guard let date = Timestamp.parse(text) else {
            throw .badRequest("Invalid input for query parameters \(name).")
        }
        return date
    }

    // MARK: Which server

    private struct Subject: Sendable {
        var server: ServerID
        /// Nil of a server that is deleted.
        var row: DirectoryRow?
    }

    /// From 2.21 on what was asked of a deleted server can still be read, by who asked it.
    private func server(_ request: ComputeRequest) async throws -> Subject {
        do {
            let row = try await servers.row(request)
            return Subject(server: row.summary.id, row: row)
        } catch let fault as APIFault where fault.status == .notFound && request.version >= 21 {
            guard let id = ServerID(request.id), let newest = try await dependencies.actions.actions(of: id).first,
                request.isAdmin || newest.projectID == request.project
            else { throw fault }
            return Subject(server: id, row: nil)
        }
    }

    // MARK: What is known

    /// Newest first.
    /// - Parameter wanted: only this request's, with events.
    private func stories(
        of subject: Subject, _ wanted: String?, _ request: ComputeRequest
    ) async throws -> [InstanceActionStory] {
        let attempts = try await dependencies.actions.attempts(of: subject.server)
        let known = try await dependencies.actions.actions(of: subject.server).filter { action in
            wanted.map { $0 == action.requestID } ?? true
        }
        var cells = Set(attempts.map(\.cell))
        if let cell = subject.row?.cell { cells.insert(cell) }
        let told = await ask(cells, about: subject.server, wanted, request)
        var stories = InstanceActionStory.merge(known, told)
        for index in stories.indices where stories[index].action == "create" {
            stories[index].add(attempts, fault: subject.row?.unplaced?.fault?.message, isWhole: wanted != nil)
        }
        return stories
    }

    /// A cell that can't be asked tells nothing.
    private func ask(
        _ cells: Set<CellPath>, about id: ServerID, _ requestID: String?, _ request: ComputeRequest
    ) async -> [ActionsRequest.Action] {
        let context = dependencies.readContext(request)
        return await withTaskGroup(of: [ActionsRequest.Action].self) { group in
            for cell in cells {
                group.addTask {
                    do throws(CellError) {
                        let question = ActionsRequest(id: id, requestID: requestID)
                        return try await dependencies.cells.send(question, to: cell, context: context).actions
                    } catch {
                        return []
                    }
                }
            }
            return await group.reduce(into: []) { $0 += $1 }
        }
    }
}

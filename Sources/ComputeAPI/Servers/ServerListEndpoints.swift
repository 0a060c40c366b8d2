import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import NIOCore
import Primitives
import ServerViews

/// `GET /servers` and `GET /servers/detail`.
///
/// One read in the directory gives the page; the children below which its rows are are asked at the same time, each once,
/// and answer with rendered rows that are only framed here. Rows of cells that can't be reached come from the directory.
struct ServerListEndpoints: ComputeEndpoints {
    private let dependencies: ComputeDependencies

    init(_ dependencies: ComputeDependencies) { self.dependencies = dependencies }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "servers", .reader) { try await list($0, path: "servers", detail: .brief) },
            ComputeRoute(.get, "servers/detail", .reader) {
                try await list($0, path: "servers/detail", detail: .full)
            },
        ]
    }

    private func list(
        _ request: ComputeRequest, path: String, detail: ServerViewContext.Detail
    ) async throws -> Response {
        let page = try request.page()
        guard var query = try ServerQuery(request).directoryQuery(limit: page.limit + 1) else {
            return .json(["servers": []])
        }
        if let marker = page.marker {
            guard let id = ServerID(marker) else {
                throw APIFault.badRequest("marker [\(marker.prefix(255))] not found")
            }
            query.marker = id
        }
        if try request.query.integer("limit") == 0 { return .json(["servers": []]) }
        let found = try await dependencies.directory.list(query)
        var rows = found.rows
        let hasMore = rows.count > page.limit
        if hasMore { rows.removeLast(rows.count - page.limit) }
        let rendered = try await render(rows, request.view(detail), request)
        var writer = JSONWriter(capacity: rendered.values.reduce(64) { $0 + $1.count + 1 })
        writer.object { writer in
            writer.array("servers") { writer in
                for row in rows { if let server = rendered[row.summary.id] { writer.rawElement(server) } }
            }
            if hasMore, let last = rows.last {
                let link = request.nextLink(path, lastID: last.summary.id.description)
                writer.array("servers_links") { $0.link("next", link) }
            }
        }
        guard !found.gaps.isEmpty else { return .json(writer) }
        return .json(writer, headers: [.incomplete: found.gaps.map(\.description).joined(separator: ", ")])
    }

    private func render(
        _ rows: [DirectoryRow], _ view: ServerViewContext, _ request: ComputeRequest
    ) async throws -> [ServerID: Data] {
        let renderer = ServerView(view)
        var rendered: [ServerID: Data] = [:]
        var byCell: [CellPath: [DirectoryRow]] = [:]
        for row in rows {
            if let leaf = row.cell, let cell = CellPath.root.child(toward: leaf) {
                byCell[cell, default: []].append(row)
            } else if let unplaced = row.unplaced {
                rendered[row.summary.id] = renderer.render(unplaced, host: nil)
            } else {
                partial([row], renderer, into: &rendered)
            }
        }
        let context = dependencies.readContext(request)
        let cells = dependencies.cells
        try await withThrowingTaskGroup(of: (CellPath, GetRequest.Reply?).self) { group in
            for (cell, rows) in byCell {
                let get = GetRequest(rows.map { ($0.summary.id, $0.cell ?? cell) }, in: cell, view: view)
                group.addTask {
                    do {
                        return (cell, try await cells.send(get, to: cell, context: context))
                    } catch let error as CellError where error.isAbsence {
                        return (cell, nil)
                    }
                }
            }
            for try await (cell, reply) in group {
                if let reply {
                    for row in reply.rows { rendered[row.id] = row.rendered }
                    let unreachable = Set(reply.unreachable ?? [])
                    if !unreachable.isEmpty {
                        partial(
                            (byCell[cell] ?? []).filter { unreachable.contains($0.summary.id) }, renderer,
                            into: &rendered)
                    }
                } else {
                    partial(byCell[cell] ?? [], renderer, into: &rendered)
                }
            }
        }
        return rendered
    }

    /// Below 2.69 clients do not know partial records: the rows are left out.
    private func partial(_ rows: [DirectoryRow], _ renderer: ServerView, into rendered: inout [ServerID: Data]) {
        guard renderer.context.microversion >= ServerView.partialRecordsVersion else { return }
        for row in rows { rendered[row.summary.id] = renderer.renderPartial(row.summary, flavor: nil) }
    }
}

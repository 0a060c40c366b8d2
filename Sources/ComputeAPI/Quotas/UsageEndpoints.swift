import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/os-simple-tenant-usage`: how long servers of which size ran in a period.
struct UsageEndpoints: ComputeEndpoints {
    /// Servers that one answer looks at, at most; from 2.40 on the rest is on the next page.
    private static let rowLimit = 1000
    /// A period that is not given: this many seconds until now.
    private static let standardPeriod: TimeInterval = 28 * 86_400

    private struct Period {
        var start: Date
        /// As asked; nothing has run beyond ``now`` yet.
        var end: Date
        var now: Date

        func hours(of row: InstanceSummary) -> Double {
            let from = max(row.launchedAt ?? row.createdAt, start)
            let until = min(row.terminatedAt ?? now, end, now)
            return max(0, until.timeIntervalSince(from)) / 3600
        }
    }

    private struct Line {
        var row: InstanceSummary
        var flavor: Flavor?
        var hours: Double
    }

    private let directory: any DirectoryStore
    private let flavors: any FlavorStore
    private let wallClock: any WallClock

    init(_ dependencies: ComputeDependencies) {
        directory = dependencies.directory
        flavors = dependencies.flavors
        wallClock = dependencies.wallClock
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "os-simple-tenant-usage", .admin, list),
            ComputeRoute(.get, "os-simple-tenant-usage/{id}", .reader, show),
        ]
    }

    private func list(_ request: ComputeRequest) async throws -> Response {
        let period = try period(request)
        let detailed = ["1", "true", "True"].contains(request.query["detailed"] ?? "0")
        let (lines, next) = try await lines(nil, period, request, path: "os-simple-tenant-usage")
        let projects = Set(lines.map(\.row.projectID)).sorted()
        let usages = projects.map { project -> JSONValue in
            let own = lines.filter { $0.row.projectID == project }
            return .object(summary(project, own, period, isDetailed: detailed))
        }
        var body: [String: JSONValue] = ["tenant_usages": .array(usages)]
        if let next { body["tenant_usages_links"] = [["rel": "next", "href": .string(next)]] }
        return .json(.object(body))
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        guard request.isAdmin || request.id == request.project.text else { throw request.forbidden() }
        let period = try period(request)
        let project = ProjectID(request.id)
        let (lines, next) = try await lines(project, period, request, path: "os-simple-tenant-usage/\(request.id)")
        var body: [String: JSONValue] = [
            "tenant_usage": lines.isEmpty ? [:] : .object(summary(project, lines, period, isDetailed: true))
        ]
        if let next { body["tenant_usage_links"] = [["rel": "next", "href": .string(next)]] }
        return .json(.object(body))
    }

    private func period(_ request: ComputeRequest) throws(APIFault) -> Period {
        let names = ["start", "end", "detailed"] + (request.version >= 40 ? ["limit", "marker"] : [])
        try request.checkQuery(names, strictFrom: 75)
        let end = try date("end", request) ?? wallClock.now()
        let start = try date("start", request) ?? end.addingTimeInterval(-Self.standardPeriod)
        guard start < end else {
            throw .badRequest("Invalid start time. The start time cannot occur after the end time.")
        }
        return Period(start: start, end: end, now: wallClock.now())
    }

    private func date(_ name: String, _ request: ComputeRequest) throws(APIFault) -> Date? {
        guard let text = request.query[name] else { return nil }
        guard let date = Timestamp.parse(text) else {
            throw .badRequest("Datetime is in invalid format: \(text.prefix(100))")
        }
        return date
    }

    private func lines(
        _ project: ProjectID?, _ period: Period, _ request: ComputeRequest, path: String
    ) async throws -> ([Line], next: String?) {
        let page = request.version >= 40 ? try request.page() : nil
        let limit = min(page?.limit ?? Self.rowLimit, Self.rowLimit)
        var query = DirectoryQuery(
            projectID: project, sort: [DirectorySort(.id, isAscending: true)], limit: limit + 1, deleted: .include)
        if let marker = page?.marker {
            guard let id = ServerID(marker) else {
                throw APIFault.badRequest("marker [\(marker.prefix(255))] not found")
            }
            query.marker = id
        }
        var rows = try await directory.page(query)
        var next: String?
        if rows.count > limit {
            rows.removeLast()
            if request.version >= 40, let last = rows.last {
                next = request.nextLink(path, lastID: last.summary.id.description)
            }
        }
        let sizes = try await flavors.all().reduce(into: [String: Flavor]()) { $0[$1.flavor.id] = $1.flavor }
        let lines = rows.compactMap { row -> Line? in
            let hours = period.hours(of: row.summary)
            guard hours > 0, row.summary.host != nil || row.summary.launchedAt != nil else { return nil }
            return Line(row: row.summary, flavor: sizes[row.summary.flavorID], hours: hours)
        }
        return (lines, next)
    }

    private func summary(
        _ project: ProjectID, _ lines: [Line], _ period: Period, isDetailed: Bool
    ) -> [String: JSONValue] {
        func total(_ amount: (Flavor) -> Int) -> JSONValue {
            .number(lines.reduce(0) { $0 + $1.hours * Double($1.flavor.map(amount) ?? 0) })
        }
        var members: [String: JSONValue] = [
            "tenant_id": .string(project.text), "start": .string(Timestamp.naiveMicroseconds(period.start)),
            "stop": .string(Timestamp.naiveMicroseconds(period.end)),
            "total_hours": .number(lines.reduce(0) { $0 + $1.hours }), "total_vcpus_usage": total(\.vcpus),
            "total_memory_mb_usage": total(\.memoryMiB), "total_local_gb_usage": total { $0.diskGiB + $0.ephemeralGiB },
        ]
        if isDetailed { members["server_usages"] = .array(lines.map { usage($0, period) }) }
        return members
    }

    private func usage(_ line: Line, _ period: Period) -> JSONValue {
        let row = line.row
        let until = row.terminatedAt ?? period.now
        let uptime = Int64(max(0, until.timeIntervalSince(row.launchedAt ?? row.createdAt)))
        return [
            "instance_id": .string(row.id.description), "name": .string(row.name),
            "tenant_id": .string(row.projectID.text), "flavor": .string(line.flavor?.name ?? row.flavorID),
            "vcpus": JSONValue(line.flavor?.vcpus ?? 0), "memory_mb": JSONValue(line.flavor?.memoryMiB ?? 0),
            "local_gb": JSONValue(line.flavor.map { $0.diskGiB + $0.ephemeralGiB } ?? 0), "hours": .number(line.hours),
            "started_at": .string(Timestamp.naiveMicroseconds(row.launchedAt ?? row.createdAt)),
            "ended_at": row.terminatedAt.map { .string(Timestamp.naiveMicroseconds($0)) } ?? .null,
            "state": .string(row.terminatedAt == nil ? row.state.vm.rawValue : "terminated"),
            "uptime": .integer(uptime),
        ]
    }
}

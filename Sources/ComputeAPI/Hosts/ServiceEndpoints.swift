import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/os-services` and the older `/os-hosts`.
struct ServiceEndpoints: ComputeEndpoints {
    private let dependencies: ComputeDependencies

    init(_ dependencies: ComputeDependencies) { self.dependencies = dependencies }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "os-services", .admin, list),
            ComputeRoute(.put, "os-services/{id}", .admin, update),
            ComputeRoute(.get, "os-hosts", .admin, versions: 1...42, hosts),
        ]
    }

    private func services() async throws -> [ServiceList.Entry] {
        let hosts = try await dependencies.hosts.hosts().map(\.record)
        return ServiceList(cells: await dependencies.cells.cells(), hosts: hosts, now: dependencies.wallClock.now())
            .entries
    }

    private func list(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery(["host", "binary"], strictFrom: 75)
        let entries = try await services().filter { entry in
            (request.query["host"].map { $0 == entry.host } ?? true)
                && (request.query["binary"].map { $0 == entry.binary.rawValue } ?? true)
        }
        return .json(["services": .array(entries.map { Self.view($0, request) })])
    }

    private static func view(_ entry: ServiceList.Entry, _ request: ComputeRequest) -> JSONValue {
        if request.version >= 69 && !entry.isReachable {
            return ["binary": .string(entry.binary.rawValue), "host": .string(entry.host), "status": "UNKNOWN"]
        }
        var members: [String: JSONValue] = [
            "id": request.version >= 53 ? .string(entry.id.uuidString.lowercased()) : .integer(entry.number),
            "binary": .string(entry.binary.rawValue), "host": .string(entry.host), "zone": .string(entry.zone),
            "status": entry.isEnabled ? "enabled" : "disabled", "state": entry.isUp ? "up" : "down",
            "updated_at": .string(Timestamp.naiveMicroseconds(entry.updatedAt)),
            "disabled_reason": JSONValue(entry.disabledReason),
        ]
        if request.version >= 11 { members["forced_down"] = false }
        return .object(members)
    }

    private func update(_ request: ComputeRequest) async throws -> Response {
        request.version >= 53 ? try await updateByID(request) : try await updateByName(request)
    }

    private func updateByID(_ request: ComputeRequest) async throws -> Response {
        guard let id = UUID(uuidString: request.id) else {
            throw APIFault.badRequest("Invalid uuid \(request.id.prefix(255))")
        }
        var body = try await request.body()
        let status = try body.string("status")
        let reason = try body.string("disabled_reason", length: 1...255)
        let forcedDown = try body.looseBool("forced_down")
        try body.finish()
        guard status != nil || forcedDown != nil || reason != nil else {
            throw APIFault.badRequest(
                "No updates were requested. Fields 'status' or 'forced_down' should be specified.")
        }
        guard forcedDown != true else { throw APIFault.badRequest("Services can't be forced down in this cloud.") }
        guard let entry = try await services().first(where: { $0.id == id }) else {
            throw APIFault.notFound("Service \(request.id) could not be found.")
        }
        guard let record = entry.record else {
            throw APIFault.badRequest(
                "Updating a \(entry.binary.rawValue) service is not supported. Only nova-compute services can be "
                    + "updated.")
        }
        guard let status else {
            if reason != nil {
                throw APIFault.badRequest("Specifying disabled_reason requires that status is 'disabled'.")
            }
            return .json(["service": Self.view(entry, request)])
        }
        let changed = try await set(record, status: status, reason: reason, request)
        var updated = entry
        updated.isEnabled = changed.isEnabled
        updated.disabledReason = changed.disabledReason
        return .json(["service": Self.view(updated, request)])
    }

    /// Before 2.53 the action stands in the path and the host in the body.
    private func updateByName(_ request: ComputeRequest) async throws -> Response {
        guard ["enable", "disable", "disable-log-reason"].contains(request.id) else {
            throw APIFault.notFound("Unknown action")
        }
        var body = try await request.body()
        let host = try body.requiredString("host", length: 1...255)
        let binary = try body.requiredString("binary", length: 1...255)
        let reason = try body.string("disabled_reason", length: 1...255)
        try body.finish()
        guard (reason != nil) == (request.id == "disable-log-reason") else {
            throw APIFault.badRequest(
                reason == nil ? "Missing disabled reason field" : "A disabled_reason is for disable-log-reason only.")
        }
        let entry = try await services().first { $0.host == host && $0.binary.rawValue == binary }
        guard let record = entry?.record else {
            throw APIFault.notFound("Could not find binary \(binary) on host \(host).")
        }
        let status = request.id == "enable" ? "enabled" : "disabled"
        let changed = try await set(record, status: status, reason: reason, request)
        var members: [String: JSONValue] = [
            "host": .string(host), "binary": .string(binary), "status": .string(status),
        ]
        if let reason = changed.disabledReason, request.id == "disable-log-reason" {
            members["disabled_reason"] = .string(reason)
        }
        return .json(["service": .object(members)])
    }

    private func set(
        _ record: HostRecord, status: String, reason: String?, _ request: ComputeRequest
    ) async throws -> HostRecord {
        guard ["enabled", "disabled"].contains(status) else {
            throw APIFault.badRequest("Invalid input for field/attribute status. Value: \(status.prefix(100)).")
        }
        let isEnabled = status == "enabled"
        guard !isEnabled || reason == nil else {
            throw APIFault.badRequest("Specifying disabled_reason requires that status is 'disabled'.")
        }
        // The root's word first when a host is closed, so that no scheduler chooses it any more; last when it is opened.
        let order = PlacementOrder(
            isEnabled ? .enabled : .disabled, reason: reason, since: dependencies.wallClock.now())
        if !isEnabled { _ = try await dependencies.hosts.order(order, of: record.name) }
        let reply = try await dependencies.cells.send(
            SetHostRequest(host: record.name, isEnabled: isEnabled, reason: reason), to: record.cell,
            context: dependencies.callContext(request))
        guard case .changed(let host) = reply else {
            throw APIFault.notFound("Service on host \(record.name) could not be found.")
        }
        if isEnabled { _ = try await dependencies.hosts.order(order, of: record.name) }
        return host
    }

    private func hosts(_ request: ComputeRequest) async throws -> Response {
        let zone = request.query["zone"]
        let entries = try await services().filter { zone == nil || $0.zone == zone }
        return .json([
            "hosts": .array(
                entries.map { entry in
                    [
                        "host_name": .string(entry.host), "zone": .string(entry.zone),
                        "service": .string(String(entry.binary.rawValue.dropFirst("nova-".count))),
                    ]
                })
        ])
    }
}

import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/os-availability-zone`: zones are what aggregates put hosts in, else what hosts say they are in.
struct ZoneEndpoints: ComputeEndpoints {
    private let dependencies: ComputeDependencies

    init(_ dependencies: ComputeDependencies) { self.dependencies = dependencies }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "os-availability-zone", .any, list),
            ComputeRoute(.get, "os-availability-zone/detail", .admin, detail),
        ]
    }

    private func services() async throws -> [ServiceList.Entry] {
        let hosts = try await dependencies.hosts.hosts().map(\.record)
        return ServiceList(cells: await dependencies.cells.cells(), hosts: hosts, now: dependencies.wallClock.now())
            .entries
    }

    private func list(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        let entries = try await services().filter { $0.binary == .compute }
        let zones = Set(entries.map(\.zone)).sorted().map { zone -> JSONValue in
            Self.view(zone, isAvailable: entries.contains { $0.zone == zone && $0.isEnabled }, hosts: .null)
        }
        return .json(["availabilityZoneInfo": .array(zones)])
    }

    private func detail(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        let entries = try await services()
        let zones = Set(entries.map(\.zone)).sorted().map { zone -> JSONValue in
            var hosts: [String: [String: JSONValue]] = [:]
            for entry in entries where entry.zone == zone {
                hosts[entry.host, default: [:]][entry.binary.rawValue] = [
                    "active": .bool(entry.isEnabled), "available": .bool(entry.isUp),
                    "updated_at": .string(Timestamp.naiveMicroseconds(entry.updatedAt)),
                ]
            }
            let isAvailable = entries.contains { $0.zone == zone && $0.isEnabled }
            return Self.view(zone, isAvailable: isAvailable, hosts: .object(hosts.mapValues { .object($0) }))
        }
        return .json(["availabilityZoneInfo": .array(zones)])
    }

    private static func view(_ zone: String, isAvailable: Bool, hosts: JSONValue) -> JSONValue {
        ["zoneName": .string(zone), "zoneState": ["available": .bool(isAvailable)], "hosts": hosts]
    }
}

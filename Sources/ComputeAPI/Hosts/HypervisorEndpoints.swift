import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/os-hypervisors`: hosts with what they have and what is promised of it.
struct HypervisorEndpoints: ComputeEndpoints {
    /// Servers of one host that `with_servers` shows, at most.
    private static let serverLimit = 1000

    private let dependencies: ComputeDependencies

    init(_ dependencies: ComputeDependencies) { self.dependencies = dependencies }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "os-hypervisors", .admin) { try await list($0, isDetailed: false) },
            ComputeRoute(.get, "os-hypervisors/detail", .admin) { try await list($0, isDetailed: true) },
            ComputeRoute(.get, "os-hypervisors/statistics", .admin, versions: 1...87, statistics),
            ComputeRoute(.get, "os-hypervisors/{id}", .admin, show),
            ComputeRoute(.get, "os-hypervisors/{id}/uptime", .admin, versions: 1...87) { request in
                _ = try await find(request)
                throw APIFault(.notImplemented, "Virt driver does not implement uptime function.")
            },
            ComputeRoute(.get, "os-hypervisors/{id}/search", .admin, versions: 1...52) { request in
                .json(["hypervisors": .array(try await matching(request).map { Self.brief($0, request) })])
            },
            ComputeRoute(.get, "os-hypervisors/{id}/servers", .admin, versions: 1...52, oldServers),
        ]
    }

    private func hypervisors() async throws -> [HostUsage] {
        try await dependencies.hosts.hosts().sorted { $0.record.id < $1.record.id }
    }

    private func list(_ request: ComputeRequest, isDetailed: Bool) async throws -> Response {
        let names =
            (request.version >= 33 ? ["limit", "marker"] : [])
            + (request.version >= 53 ? ["hypervisor_hostname_pattern", "with_servers"] : [])
        try request.checkQuery(names, strictFrom: 53)
        var found = try await hypervisors()[...]
        if request.version >= 53, let pattern = request.query["hypervisor_hostname_pattern"] {
            found = found.filter { $0.record.inventory.hypervisorHostname.contains(pattern) }[...]
            guard !found.isEmpty || request.version < 53 else {
                throw APIFault.notFound("No hypervisor matching '\(pattern.prefix(255))' could be found.")
            }
        }
        var body: [String: JSONValue] = [:]
        if request.version >= 33 {
            let page = try request.page()
            if let marker = page.marker {
                guard let index = found.firstIndex(where: { Self.id($0.record, request).plain == marker }) else {
                    throw APIFault.badRequest("marker [\(marker.prefix(255))] not found")
                }
                found = found[(index + 1)...]
            }
            if found.count > page.limit {
                found = found.prefix(page.limit)
                if let last = found.last {
                    let path = isDetailed ? "os-hypervisors/detail" : "os-hypervisors"
                    let link = request.nextLink(path, lastID: Self.id(last.record, request).plain)
                    body["hypervisors_links"] = [["rel": "next", "href": .string(link)]]
                }
            }
        }
        let withServers = request.version >= 53 ? try request.query.bool("with_servers") ?? false : false
        var rows: [JSONValue] = []
        for host in found {
            let servers = withServers ? try await servers(of: host) : nil
            rows.append(Self.view(host, request, isDetailed: isDetailed, servers: servers))
        }
        body["hypervisors"] = .array(rows)
        return .json(.object(body))
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery(request.version >= 53 ? ["with_servers"] : [], strictFrom: 53)
        let host = try await find(request)
        let withServers = request.version >= 53 ? try request.query.bool("with_servers") ?? false : false
        let servers = withServers ? try await servers(of: host) : nil
        return .json(["hypervisor": Self.view(host, request, isDetailed: true, servers: servers)])
    }

    private func find(_ request: ComputeRequest) async throws -> HostUsage {
        let found = try await hypervisors().first { host in
            request.version >= 53
                ? ProviderID(request.id) == host.record.id
                : request.id == String(NumberID.make(host.record.id.uuid))
        }
        guard let found else {
            throw APIFault.notFound("Hypervisor with ID '\(request.id.prefix(255))' could not be found.")
        }
        return found
    }

    private func matching(_ request: ComputeRequest) async throws -> [HostUsage] {
        let found = try await hypervisors().filter { $0.record.inventory.hypervisorHostname.contains(request.id) }
        guard !found.isEmpty else {
            throw APIFault.notFound("No hypervisor matching '\(request.id.prefix(255))' could be found.")
        }
        return found
    }

    private func oldServers(_ request: ComputeRequest) async throws -> Response {
        var rows: [JSONValue] = []
        for host in try await matching(request) {
            guard case .object(var members) = Self.brief(host, request) else { continue }
            let servers = try await servers(of: host)
            if !servers.isEmpty { members["servers"] = .array(servers) }
            rows.append(.object(members))
        }
        return .json(["hypervisors": .array(rows)])
    }

    private func servers(of host: HostUsage) async throws -> [JSONValue] {
        let query = DirectoryQuery(projectID: nil, filters: [.host(host.record.name)], limit: Self.serverLimit)
        return try await dependencies.directory.page(query).map { row in
            [
                "uuid": .string(row.summary.id.description),
                "name": .string(row.summary.id.guestName),
            ]
        }
    }

    private func statistics(_ request: ComputeRequest) async throws -> Response {
        let hosts = try await hypervisors().filter(\.record.isEnabled)
        func sum(_ value: (HostUsage) -> Int) -> JSONValue { JSONValue(hosts.reduce(0) { $0 + value($1) }) }
        return .json([
            "hypervisor_statistics": [
                "count": JSONValue(hosts.count), "vcpus": sum(\.record.inventory.vcpus), "vcpus_used": sum(\.vcpusUsed),
                "memory_mb": sum(\.record.inventory.memoryMiB), "memory_mb_used": sum(\.memoryMiBUsed),
                "free_ram_mb": sum { $0.record.inventory.memoryMiB - $0.memoryMiBUsed },
                "local_gb": sum(\.record.inventory.diskGiB), "local_gb_used": sum(\.diskGiBUsed),
                "free_disk_gb": sum { $0.record.inventory.diskGiB - $0.diskGiBUsed },
                "disk_available_least": sum { $0.record.inventory.diskGiB - $0.diskGiBUsed },
                "running_vms": sum(\.servers), "current_workload": 0,
            ]
        ])
    }

    private static func id(_ host: HostRecord, _ request: ComputeRequest) -> (json: JSONValue, plain: String) {
        if request.version >= 53 { return (.string(host.id.description), host.id.description) }
        let number = NumberID.make(host.id.uuid)
        return (.integer(number), String(number))
    }

    private static func brief(_ host: HostUsage, _ request: ComputeRequest) -> JSONValue {
        let record = host.record
        return [
            "id": id(record, request).json, "hypervisor_hostname": .string(record.inventory.hypervisorHostname),
            "state": record.isUp ? "up" : "down", "status": record.isEnabled ? "enabled" : "disabled",
        ]
    }

    private static func view(
        _ host: HostUsage, _ request: ComputeRequest, isDetailed: Bool, servers: [JSONValue]?
    ) -> JSONValue {
        guard case .object(var members) = brief(host, request) else { return .null }
        let inventory = host.record.inventory
        if isDetailed {
            members["hypervisor_type"] = .string(inventory.hypervisorType)
            members["hypervisor_version"] = JSONValue(inventory.hypervisorVersion)
            members["host_ip"] = .string(inventory.hostIP)
            members["service"] = [
                "id": id(host.record, request).json, "host": .string(host.record.name.text),
                "disabled_reason": JSONValue(host.record.disabledReason),
            ]
            if request.version >= 88 {
                members["uptime"] = .null
            } else {
                members.merge(usage(host, request)) { _, new in new }
            }
        }
        if let servers {
            if !servers.isEmpty || request.version >= 75 { members["servers"] = .array(servers) }
        }
        return .object(members)
    }

    private static func usage(_ host: HostUsage, _ request: ComputeRequest) -> [String: JSONValue] {
        let inventory = host.record.inventory
        let cpu: JSONValue = [
            "arch": .string(inventory.cpuArchitecture), "model": .string(inventory.cpuModel), "vendor": "",
            "topology": ["cores": JSONValue(inventory.vcpus), "sockets": 1, "threads": 1], "features": [],
        ]
        return [
            "vcpus": JSONValue(inventory.vcpus), "vcpus_used": JSONValue(host.vcpusUsed),
            "memory_mb": JSONValue(inventory.memoryMiB), "memory_mb_used": JSONValue(host.memoryMiBUsed),
            "free_ram_mb": JSONValue(inventory.memoryMiB - host.memoryMiBUsed),
            "local_gb": JSONValue(inventory.diskGiB), "local_gb_used": JSONValue(host.diskGiBUsed),
            "free_disk_gb": JSONValue(inventory.diskGiB - host.diskGiBUsed),
            "disk_available_least": JSONValue(inventory.diskGiB - host.diskGiBUsed), "current_workload": 0,
            "running_vms": JSONValue(host.servers), "cpu_info": request.version >= 28 ? cpu : .string(cpu.text),
        ]
    }
}

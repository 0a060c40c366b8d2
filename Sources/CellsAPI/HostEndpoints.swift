import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import Hummingbird
import MessageBus
import Primitives

/// `/cells/v1/hosts`: which cell a host is in, what it has, and the operator's word on it.
struct HostEndpoints: Sendable {
    private let dependencies: CellsDependencies

    init(_ dependencies: CellsDependencies) { self.dependencies = dependencies }

    func list(_ request: CellsRequest) async throws -> Response {
        try request.check(["limit", "marker", "cell"])
        let page = try request.page()
        let cell = try request.query["cell"].map { text throws(APIFault) in
            guard let path = CellPath(text) else {
                throw .badRequest("'\(text.prefix(255))' is not a cell's path, such as /north.")
            }
            return path
        }
        var hosts = try await dependencies.registry.hosts(
            of: cell, after: page.marker.map { HostName($0) }, limit: page.limit + 1)
        let hasMore = hosts.count > page.limit
        if hasMore { hosts.removeLast() }
        var body: [String: JSONValue] = ["hosts": .array(hosts.map { Self.view($0) })]
        if hasMore, let last = hosts.last { body["hosts_links"] = request.next("hosts", lastID: last.record.name.text) }
        return .json(.object(body))
    }

    func show(_ request: CellsRequest) async throws -> Response {
        try request.check([])
        return .json(["host": Self.view(try await find(request))])
    }

    /// A host is closed at the root first, so that no scheduler chooses it any more, whether its cell hears of it or not.
    /// It is opened when its cell has agreed.
    func order(_ request: CellsRequest) async throws -> Response {
        let order = try await request.order("host", now: dependencies.wallClock.now())
        let record = try await find(request).record
        if !order.isOpen { _ = try await dependencies.registry.order(order, of: record.name) }
        var isHeard = true
        do throws(CellError) {
            let reply = try await dependencies.cells.send(
                SetHostRequest(host: record.name, isEnabled: order.isOpen, reason: order.reason), to: record.cell,
                context: request.cellContext(within: dependencies.cellTimeout, now: dependencies.wallClock.now()))
            if case .notFound = reply { throw CellError.failed(record.cell, "it has no host \(record.name)") }
        } catch {
            guard !order.isOpen else {
                throw APIFault.unavailable(
                    "Cell \(record.cell) can't be reached to enable host \(record.name). Try again when it is up.")
            }
            isHeard = false
        }
        if order.isOpen { _ = try await dependencies.registry.order(order, of: record.name) }
        var view = Self.view(try await find(request)).object ?? [:]
        view["known_to_cell"] = .bool(isHeard)
        return .json(["host": .object(view)])
    }

    private func find(_ request: CellsRequest) async throws -> HostUsage {
        let name = HostName(request.context.parameter("name"))
        guard let host = try await dependencies.registry.host(name) else {
            throw APIFault.notFound("Host \(name.text.prefix(255)) could not be found.")
        }
        return host
    }

    private static func view(_ host: HostUsage) -> JSONValue {
        let record = host.record
        let inventory = record.inventory
        func resource(_ total: Int, _ reserved: Int, _ ratio: Double, _ used: Int) -> JSONValue {
            [
                "total": .integer(Int64(total)), "usable": .integer(Int64(Double(total - reserved) * ratio)),
                "used": .integer(Int64(used)),
            ]
        }
        let reservedMemory = min(inventory.reservedMemoryMiB, inventory.memoryMiB)
        return [
            "name": .string(record.name.text), "id": .string(record.id.description),
            "cell": .string(record.cell.description), "availability_zone": .string(record.availabilityZone),
            "state": record.isUp ? "up" : "down", "last_seen_at": .string(Timestamp.seconds(record.lastSeenAt)),
            "placement": CellView.placement(host.order), "servers": .integer(Int64(host.servers)),
            "address": .string(inventory.hostIP), "hypervisor_type": .string(inventory.hypervisorType),
            "agent_version": .string(inventory.agentVersion),
            "capacity": [
                "vcpus": resource(inventory.vcpus, 0, inventory.cpuAllocationRatio, host.vcpusUsed),
                "memory_mib": resource(
                    inventory.memoryMiB, reservedMemory, inventory.memoryAllocationRatio, host.memoryMiBUsed),
                "disk_gib": resource(inventory.diskGiB, 0, inventory.diskAllocationRatio, host.diskGiBUsed),
            ],
        ]
    }
}

import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/os-aggregates`: hosts of any cells, put together by administrators.
struct AggregateEndpoints: ComputeEndpoints {
    private let store: any AggregateStore
    private let ids: any IDSource
    private let wallClock: any WallClock

    init(_ dependencies: ComputeDependencies) {
        store = dependencies.aggregates
        ids = dependencies.ids
        wallClock = dependencies.wallClock
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "os-aggregates", .admin, list),
            ComputeRoute(.post, "os-aggregates", .admin, create),
            ComputeRoute(.get, "os-aggregates/{id}", .admin, show),
            ComputeRoute(.put, "os-aggregates/{id}", .admin, update),
            ComputeRoute(.delete, "os-aggregates/{id}", .admin, delete),
            ComputeRoute(.post, "os-aggregates/{id}/action", .admin, act),
            ComputeRoute(.post, "os-aggregates/{id}/images", .admin, versions: 81...Microversion.maximum) { request in
                let number = try Self.number(request)
                guard try await store.aggregate(number) != nil else { throw Self.notFound(number) }
                throw APIFault(.notImplemented, "Hosts of this cloud fetch an image when a server needs it.")
            },
        ]
    }

    private func list(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        let aggregates = try await store.aggregates().map { JSONValue.object(Self.members($0, request)) }
        return .json(["aggregates": .array(aggregates)])
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        let number = try Self.number(request)
        guard let aggregate = try await store.aggregate(number) else { throw Self.notFound(number) }
        return Self.response(aggregate, request)
    }

    private func create(_ request: ComputeRequest) async throws -> Response {
        var body = try await request.body("aggregate")
        let name = try body.requiredName()
        let zone = try Self.zone(&body)
        try body.finish()
        var aggregate = Aggregate(id: ids.next(), name: name, createdAt: wallClock.now())
        aggregate.metadata[Aggregate.zoneKey] = zone
        let stored = try await answering(.update) { try await store.insert(aggregate) }
        var members = Self.members(stored, request)
        for key in ["hosts", "metadata"] { members[key] = nil }
        return .json(["aggregate": .object(members)])
    }

    private func update(_ request: ComputeRequest) async throws -> Response {
        let number = try Self.number(request)
        var body = try await request.body("aggregate")
        guard body.has("name") || body.has("availability_zone") else {
            throw APIFault.badRequest("Either name or availability_zone is needed to update an aggregate.")
        }
        let name = try body.name()
        let hasZone = body.has("availability_zone")
        let zone = try Self.zone(&body)
        try body.finish()
        guard !hasZone || zone != nil else { throw Self.emptyZone(number) }
        return try await change(number, .describe(name: name, zone: zone), .update, request)
    }

    private func delete(_ request: ComputeRequest) async throws -> Response {
        let number = try Self.number(request)
        try await answering(.delete) { try await store.deleteAggregate(number) }
        return .empty(.ok)
    }

    private func act(_ request: ComputeRequest) async throws -> Response {
        let number = try Self.number(request)
        var body = try await request.body()
        guard body.remainingKeys.count == 1, let action = body.remainingKeys.first else {
            throw APIFault.badRequest("There must be exactly one action.")
        }
        var arguments = try body.requiredObject(action)
        let change: AggregateChange
        let verb: Verb
        switch action {
        case "add_host": (change, verb) = (.add(try Self.host(&arguments)), .addHost)
        case "remove_host": (change, verb) = (.remove(try Self.host(&arguments)), .removeHost)
        case "set_metadata": (change, verb) = (.setMetadata(try Self.metadata(&arguments, number)), .setMetadata)
        default: throw APIFault.badRequest("There is no such action: \(action.prefix(100))")
        }
        try arguments.finish()
        return try await self.change(number, change, verb, request)
    }

    private func change(
        _ number: Int64, _ change: AggregateChange, _ verb: Verb, _ request: ComputeRequest
    ) async throws -> Response {
        let changed = try await answering(verb) {
            try await store.change(number, change, now: wallClock.now())
        }
        return Self.response(changed, request)
    }

    // MARK: Arguments

    private static func number(_ request: ComputeRequest) throws(APIFault) -> Int64 {
        guard let number = Int64(request.id) else {
            throw .badRequest("Invalid input received: id must be an integer")
        }
        return number
    }

    private static func zone(_ body: inout JSONObjectReader) throws(APIFault) -> String? {
        guard let value = body.value("availability_zone"), value != .null else { return nil }
        return try checkZone(value, body)
    }

    private static func checkZone(_ value: JSONValue, _ body: JSONObjectReader) throws(APIFault) -> String {
        guard let zone = value.string, (1...255).contains(zone.count), !zone.contains(":"),
            zone.first?.isWhitespace == false, zone.last?.isWhitespace == false
        else { throw body.invalid("availability_zone", value, "is not a zone's name") }
        return zone
    }

    private static func host(_ arguments: inout JSONObjectReader) throws(APIFault) -> HostName {
        let name = try arguments.requiredString("host", length: 1...255)
        let isName = name.unicodeScalars.allSatisfy {
            $0.isASCII && (Character($0).isLetter || Character($0).isNumber || "-._".unicodeScalars.contains($0))
        }
        guard isName else { throw arguments.invalid("host", .string(name), "is not a host's name") }
        return HostName(name)
    }

    private static func metadata(
        _ arguments: inout JSONObjectReader, _ number: Int64
    ) throws(APIFault) -> [String: String?] {
        guard let members = try arguments.requiredValue("metadata").object else {
            throw .badRequest("Invalid input for field/attribute metadata. It is not of type 'object'")
        }
        var metadata: [String: String?] = [:]
        for (key, value) in members {
            guard (1...255).contains(key.unicodeScalars.count) else {
                throw .badRequest("Invalid metadata key: \(key.prefix(255))")
            }
            switch value {
            case .null: metadata[key] = .some(nil)
            case .string(let text) where text.unicodeScalars.count <= 255: metadata[key] = text
            case .string, .bool, .integer, .number, .array, .object:
                throw arguments.invalid(key, value, "is not text of at most 255 characters")
            }
        }
        try ServerOrder.checkMetadataKeys(metadata.mapValues { $0 ?? "" })
        if let zone = members[Aggregate.zoneKey] {
            guard zone != .null, zone != "" else { throw emptyZone(number) }
            _ = try checkZone(zone, arguments)
        }
        return metadata
    }

    // MARK: Answers

    private static func response(_ aggregate: Aggregate, _ request: ComputeRequest) -> Response {
        .json(["aggregate": .object(members(aggregate, request))])
    }

    private static func members(_ aggregate: Aggregate, _ request: ComputeRequest) -> [String: JSONValue] {
        var members: [String: JSONValue] = [
            "id": .integer(aggregate.number), "name": .string(aggregate.name),
            "availability_zone": JSONValue(aggregate.zone), "hosts": .array(aggregate.hosts.map { .string($0.text) }),
            "metadata": .object(aggregate.metadata.mapValues { .string($0) }),
            "created_at": .string(Timestamp.naiveMicroseconds(aggregate.createdAt)),
            "updated_at": JSONValue(aggregate.updatedAt.map(Timestamp.naiveMicroseconds)), "deleted": false,
            "deleted_at": .null,
        ]
        if request.version >= 41 { members["uuid"] = .string(aggregate.id.description) }
        return members
    }

    private static func notFound(_ number: Int64) -> APIFault {
        .notFound("Aggregate \(number) could not be found.")
    }

    private static func emptyZone(_ number: Int64) -> APIFault {
        .badRequest("Cannot update aggregate \(number). Reason: an availability zone needs a name.")
    }
}

extension AggregateEndpoints {
    /// What was asked decides how Nova calls a refusal, and with which status.
    private enum Verb {
        case update, delete, addHost, removeHost, setMetadata

        func refusal(_ reason: String) -> APIFault {
            switch self {
            case .addHost: .conflict("Cannot add host to aggregate. Reason: \(reason)")
            case .removeHost: .conflict("Cannot remove host from aggregate. Reason: \(reason)")
            case .update, .delete: .badRequest("Cannot update aggregate. Reason: \(reason)")
            case .setMetadata: .badRequest("Cannot update metadata of aggregate. Reason: \(reason)")
            }
        }
    }

    private func answering<Value>(_ verb: Verb, _ body: () async throws -> Value) async throws -> Value {
        do {
            return try await body()
        } catch let error as AggregateError {
            throw Self.fault(error, verb)
        }
    }

    private static func fault(_ error: AggregateError, _ verb: Verb) -> APIFault {
        switch error {
        case .notFound(let number): .notFound("Aggregate \(number) could not be found.")
        case .nameTaken(let name): .conflict("Aggregate \(name) already exists.")
        case .hostUnknown(let host): .notFound("Compute host \(host) could not be found.")
        case .hostPresent(let host): .conflict("The aggregate already has host \(host).")
        case .hostAbsent(let host): .notFound("Cannot remove host \(host) in aggregate: it has no such host.")
        case .notEmpty: .badRequest("Cannot remove aggregate. Reason: it still has hosts.")
        case .zonesDiffer(let host, let zones):
            verb.refusal("host \(host) is already in availability zone \(zones.joined(separator: ", ")).")
        case .occupied(let host, let old, let new, let servers):
            verb.refusal(
                "host \(host) has \(servers) \(servers == 1 ? "server" : "servers"), which can't change from availability "
                    + "zone \(old) to \(new).")
        }
    }
}

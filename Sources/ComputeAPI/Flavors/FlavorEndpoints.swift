import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import NIOCore
import Primitives

/// `/flavors`: lists, one, and what administrators do with them.
struct FlavorEndpoints: ComputeEndpoints {
    static let largest = 2_147_483_647

    private let store: any FlavorStore
    private let ids: any IDSource
    private let wallClock: any WallClock

    init(_ dependencies: ComputeDependencies) {
        store = dependencies.flavors
        ids = dependencies.ids
        wallClock = dependencies.wallClock
    }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "flavors", .any) { try await list($0, isDetailed: false) },
            ComputeRoute(.get, "flavors/detail", .any) { try await list($0, isDetailed: true) },
            ComputeRoute(.get, "flavors/{id}", .any, show),
            ComputeRoute(.post, "flavors", .admin, create),
            ComputeRoute(.put, "flavors/{id}", .admin, versions: 55...Microversion.maximum, update),
            ComputeRoute(.delete, "flavors/{id}", .admin, delete),
        ]
    }

    private func list(_ request: ComputeRequest, isDetailed: Bool) async throws -> Response {
        let query = try FlavorQuery(request)
        let page = try query.page(of: try await store.all())
        let view = FlavorView(request)
        var writer = JSONWriter(capacity: 512 * (page.flavors.count + 1))
        writer.object { writer in
            writer.array("flavors") { writer in
                for flavor in page.flavors {
                    if isDetailed {
                        view.writeDetail(flavor, to: &writer)
                    } else {
                        view.writeBrief(flavor, to: &writer)
                    }
                }
            }
            if page.hasMore, let last = page.flavors.last {
                let link = request.nextLink(isDetailed ? "flavors/detail" : "flavors", lastID: last.id)
                writer.array("flavors_links") { $0.link("next", link) }
            }
        }
        return .json(writer)
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        return Self.response(try await store.visible(request.id, to: request).flavor, request)
    }

    private func create(_ request: ComputeRequest) async throws -> Response {
        var body = try await request.body("flavor")
        let flavor = try parse(&body, request)
        try body.finish()
        do {
            try await store.insert(FlavorRecord(flavor: flavor, createdAt: wallClock.now()))
        } catch FlavorStoreError.nameTaken {
            throw APIFault.conflict("Flavor with name \(flavor.name) already exists.")
        } catch FlavorStoreError.idTaken {
            throw APIFault.conflict("Flavor with ID \(flavor.id) already exists.")
        }
        return Self.response(flavor, request)
    }

    private func parse(_ body: inout JSONObjectReader, _ request: ComputeRequest) throws(APIFault) -> Flavor {
        let name = try body.requiredName()
        let ram = try body.requiredInteger("ram", in: 1...Self.largest, acceptsText: true)
        let vcpus = try body.requiredInteger("vcpus", in: 1...Self.largest, acceptsText: true)
        let disk = try body.requiredInteger("disk", in: 0...Self.largest, acceptsText: true)
        var flavor = Flavor(
            id: try id(&body) ?? ids.uuid().uuidString.lowercased(), name: name, vcpus: vcpus, memoryMiB: ram,
            diskGiB: disk)
        flavor.ephemeralGiB =
            try body.integer("OS-FLV-EXT-DATA:ephemeral", in: 0...Self.largest, acceptsText: true) ?? 0
        flavor.swapMiB = try body.integer("swap", in: 0...Self.largest, acceptsText: true) ?? 0
        if let factor = try body.number("rxtx_factor") {
            guard factor > 0 else { throw .badRequest("rxtx_factor must be greater than 0.") }
            flavor.rxtxFactor = factor
        }
        flavor.isPublic = try body.looseBool("os-flavor-access:is_public") ?? true
        if request.version >= 55 {
            flavor.description = try body.string("description", length: 0...65_535, nullable: true)
        }
        return flavor
    }

    /// Nil asks for one to be made.
    private func id(_ body: inout JSONObjectReader) throws(APIFault) -> String? {
        guard let value = body.value("id"), value != .null else { return nil }
        let text: String
        switch value {
        case .string(let string): text = string
        case .integer(let number): text = String(number)
        case .null, .bool, .number, .array, .object: throw body.invalid("id", value, "is not text")
        }
        if text == "auto" { return nil }
        let isPlain = text.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"),
                UInt8(ascii: " "):
                true
            default: false
            }
        }
        guard isPlain, (1...255).contains(text.utf8.count), text.first != " ", text.last != " " else {
            throw body.invalid("id", value, "may have letters, digits, '.', '-', '_' and inner blanks only")
        }
        return text
    }

    private func update(_ request: ComputeRequest) async throws -> Response {
        var body = try await request.body("flavor")
        guard body.has("description") else { throw body.missing("description") }
        let description = try body.string("description", length: 0...65_535, nullable: true)
        try body.finish()
        guard let record = try await store.setDescription(description, of: request.id) else {
            throw FlavorEndpoints.notFound(request.id)
        }
        return Self.response(record.flavor, request)
    }

    private func delete(_ request: ComputeRequest) async throws -> Response {
        guard try await store.delete(id: request.id) else { throw Self.notFound(request.id) }
        return .empty(.accepted)
    }

    private static func response(_ flavor: Flavor, _ request: ComputeRequest) -> Response {
        var writer = JSONWriter()
        writer.object { writer in
            writer.object("flavor") { FlavorView(request).members(flavor, to: &$0) }
        }
        return .json(writer)
    }

    static func notFound(_ id: String) -> APIFault { .notFound("Flavor \(id.prefix(255)) could not be found.") }
}

extension FlavorStore {
    /// The flavor as the caller may use it.
    /// - Throws: a 404 when there is none or it is not the caller's to see.
    func visible(_ id: String, to request: ComputeRequest) async throws -> FlavorRecord {
        guard let record = try await find(id: id), request.isAdmin || record.isUsable(by: request.project) else {
            throw FlavorEndpoints.notFound(id)
        }
        return record
    }
}

extension JSONWriter {
    mutating func link(_ relation: String, _ url: String) {
        object { writer in
            writer.field("rel", relation)
            writer.field("href", url)
        }
    }
}

extension Response {
    static func json(_ writer: JSONWriter, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]) -> Response {
        .json(bytes: ByteBuffer(bytes: writer.bytes), status: status, headers: headers)
    }
}

import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// `/flavors/{id}/os-extra_specs`.
struct FlavorExtraSpecEndpoints: ComputeEndpoints {
    private let store: any FlavorStore

    init(_ dependencies: ComputeDependencies) { store = dependencies.flavors }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "flavors/{id}/os-extra_specs", .reader, list),
            ComputeRoute(.get, "flavors/{id}/os-extra_specs/{sub}", .reader, show),
            ComputeRoute(.post, "flavors/{id}/os-extra_specs", .admin, create),
            ComputeRoute(.put, "flavors/{id}/os-extra_specs/{sub}", .admin, update),
            ComputeRoute(.delete, "flavors/{id}/os-extra_specs/{sub}", .admin, delete),
        ]
    }

    private func list(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        return Self.response(try await store.visible(request.id, to: request).flavor.extraSpecs)
    }

    private func show(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        let specs = try await store.visible(request.id, to: request).flavor.extraSpecs
        guard let value = specs[request.sub] else { throw Self.notFound(request) }
        return .json([request.sub: .string(value)])
    }

    private func create(_ request: ComputeRequest) async throws -> Response {
        var body = try await request.body()
        guard body.has("extra_specs") else { throw body.missing("extra_specs") }
        let specs = try Self.specs(body.value("extra_specs"))
        try body.finish()
        guard try await store.changeExtraSpecs(of: request.id, setting: specs, removing: []) != nil else {
            throw FlavorEndpoints.notFound(request.id)
        }
        return Self.response(specs)
    }

    private func update(_ request: ComputeRequest) async throws -> Response {
        let specs = try Self.specs(try await request.context.json(request.request))
        guard specs.count == 1, let value = specs[request.sub] else {
            throw APIFault.badRequest("Request body and URI mismatch")
        }
        guard try await store.changeExtraSpecs(of: request.id, setting: specs, removing: []) != nil else {
            throw FlavorEndpoints.notFound(request.id)
        }
        return .json([request.sub: .string(value)])
    }

    private func delete(_ request: ComputeRequest) async throws -> Response {
        guard try await store.visible(request.id, to: request).flavor.extraSpecs[request.sub] != nil else {
            throw Self.notFound(request)
        }
        _ = try await store.changeExtraSpecs(of: request.id, setting: [:], removing: [request.sub])
        return .empty(.ok)
    }

    /// Text or numbers by keys of letters, digits, `_`, `-`, `.`, `:` and blanks.
    private static func specs(_ value: JSONValue?) throws(APIFault) -> [String: String] {
        guard case .object(let members)? = value else { throw .badRequest("extra_specs must be an object.") }
        var specs: [String: String] = [:]
        for (key, value) in members {
            guard (1...255).contains(key.count), key.unicodeScalars.allSatisfy(isKeyCharacter) else {
                throw .badRequest("Invalid extra spec key: \(key.prefix(255))")
            }
            switch value {
            case .string(let text) where text.unicodeScalars.count <= 255: specs[key] = text
            case .integer, .number: specs[key] = value.text
            case .string, .null, .bool, .array, .object:
                throw .badRequest("Invalid value of extra spec \(key): it must be text or a number.")
            }
        }
        return specs
    }

    private static func isKeyCharacter(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isASCII
            && (Character(scalar).isLetter || Character(scalar).isNumber || "_-.: ".unicodeScalars.contains(scalar))
    }

    private static func response(_ specs: [String: String]) -> Response {
        .json(["extra_specs": .object(specs.mapValues { .string($0) })])
    }

    private static func notFound(_ request: ComputeRequest) -> APIFault {
        .notFound("Flavor \(request.id.prefix(255)) has no extra specs with key \(request.sub.prefix(255)).")
    }
}

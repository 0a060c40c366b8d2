import CloudModel
import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// Which projects may use a flavor that is not public.
struct FlavorAccessEndpoints: ComputeEndpoints {
    private let store: any FlavorStore

    init(_ dependencies: ComputeDependencies) { store = dependencies.flavors }

    var routes: [ComputeRoute] {
        [
            ComputeRoute(.get, "flavors/{id}/os-flavor-access", .admin, list),
            ComputeRoute(.post, "flavors/{id}/action", .admin, act),
        ]
    }

    private func list(_ request: ComputeRequest) async throws -> Response {
        try request.checkQuery([], strictFrom: 102)
        let record = try await store.visible(request.id, to: request)
        guard !record.flavor.isPublic else {
            throw APIFault.notFound("Access list not available for public flavors.")
        }
        return Self.response(record)
    }

    private func act(_ request: ComputeRequest) async throws -> Response {
        var body = try await request.body()
        guard body.remainingKeys.count == 1, let action = body.remainingKeys.first else {
            throw APIFault.badRequest("There must be exactly one action.")
        }
        guard ["addTenantAccess", "removeTenantAccess"].contains(action) else {
            throw APIFault.badRequest("There is no such action: \(action.prefix(100))")
        }
        var arguments = try body.requiredObject(action)
        let project = ProjectID(try arguments.requiredString("tenant", length: 1...255))
        try arguments.finish()
        let record = try await store.visible(request.id, to: request)
        do {
            if action == "addTenantAccess" {
                if record.flavor.isPublic && request.version >= 7 {
                    throw APIFault.conflict("Can not add access to a public flavor.")
                }
                try await store.grantAccess(to: project, of: request.id)
            } else {
                try await store.revokeAccess(of: project, to: request.id)
            }
        } catch FlavorStoreError.accessExists {
            throw APIFault.conflict("Flavor access already exists for flavor \(request.id) and project \(project)")
        } catch FlavorStoreError.accessMissing {
            throw APIFault.notFound("Flavor access not found for \(request.id) / \(project) combination.")
        }
        return Self.response(try await store.visible(request.id, to: request))
    }

    private static func response(_ record: FlavorRecord) -> Response {
        let rows = record.projects.sorted().map { project -> JSONValue in
            ["flavor_id": .string(record.flavor.id), "tenant_id": .string(project.text)]
        }
        return .json(["flavor_access": .array(rows)])
    }
}

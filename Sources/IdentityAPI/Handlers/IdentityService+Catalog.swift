import HTTPKit
import Hummingbird
import Primitives

// Regions, services and endpoints are what the configuration says: read, never written.
extension IdentityService {
    func addCatalog(to routes: RouterGroup<APIContext>) {
        routes.get("regions") { request, context in
            IdentityView(context).list(
                "regions", [region(context)], path: "regions", query: request.uri.query)
        }
        routes.get("regions/{id}") { _, context in
            let id = context.parameter("id")
            guard id == configuration.region else { throw APIFault.notFound("Could not find region: \(id).") }
            return Response.json(["region": region(context)])
        }
        routes.get("services") { request, context in
            _ = try context.requireAdmin("list_services")
            let query = try request.queryParameters()
            let found = catalog(context).services.filter {
                (query["name"] ?? $0.entry.name) == $0.entry.name && (query["type"] ?? $0.entry.type) == $0.entry.type
            }
            return IdentityView(context).list(
                "services", found.map { service($0, context) }, path: "services", query: request.uri.query)
        }
        routes.get("services/{id}") { _, context in
            _ = try context.requireAdmin("get_service")
            let id = context.parameter("id")
            guard let found = catalog(context).services.first(where: { $0.id == id }) else {
                throw APIFault.notFound("Could not find service: \(id).")
            }
            return Response.json(["service": service(found, context)])
        }
        routes.get("endpoints") { request, context in
            _ = try context.requireAdmin("list_endpoints")
            let query = try request.queryParameters()
            let found = catalog(context).endpoints.filter {
                (query["interface"] ?? $0.interface) == $0.interface
                    && (query["service_id"] ?? $0.serviceID) == $0.serviceID
                    && (query["region_id"] ?? query["region"] ?? $0.region) == $0.region
            }
            return IdentityView(context).list(
                "endpoints", found.map { endpoint($0, context) }, path: "endpoints", query: request.uri.query)
        }
        routes.get("endpoints/{id}") { _, context in
            _ = try context.requireAdmin("get_endpoint")
            let id = context.parameter("id")
            guard let found = catalog(context).endpoints.first(where: { $0.id == id }) else {
                throw APIFault.notFound("Could not find endpoint: \(id).")
            }
            return Response.json(["endpoint": endpoint(found, context)])
        }
    }

    private func catalog(_ context: APIContext) -> Catalog { Catalog(configuration, baseURL: context.baseURL) }

    private func region(_ context: APIContext) -> JSONValue {
        [
            "id": .string(configuration.region), "description": "", "parent_region_id": .null,
            "links": IdentityView(context).links("regions", configuration.region),
        ]
    }

    private func service(_ service: Catalog.Service, _ context: APIContext) -> JSONValue {
        [
            "id": .string(service.id), "type": .string(service.entry.type), "name": .string(service.entry.name),
            "description": "", "enabled": true, "links": IdentityView(context).links("services", service.id),
        ]
    }

    private func endpoint(_ endpoint: Catalog.Endpoint, _ context: APIContext) -> JSONValue {
        [
            "id": .string(endpoint.id), "service_id": .string(endpoint.serviceID),
            "interface": .string(endpoint.interface), "region": .string(endpoint.region),
            "region_id": .string(endpoint.region), "url": .string(endpoint.url), "enabled": true,
            "links": IdentityView(context).links("endpoints", endpoint.id),
        ]
    }
}

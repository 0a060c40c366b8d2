import CloudModel
package import HTTPKit
import HTTPTypes
import Hummingbird
import Primitives

/// Compute v2.1 at `/compute`.
package struct ComputeService: APIService {
    package let name = "compute"
    package let path = "/compute"
    package let faults: any FaultRenderer = NovaFaults(ComputeFaults.fault)

    private let dependencies: ComputeDependencies

    package init(_ dependencies: ComputeDependencies) { self.dependencies = dependencies }

    private var endpoints: [any ComputeEndpoints] {
        let servers = ServerAccess(dependencies)
        return [
            FlavorEndpoints(dependencies), FlavorExtraSpecEndpoints(dependencies), FlavorAccessEndpoints(dependencies),
            KeyPairEndpoints(dependencies), ServerEndpoints(dependencies, servers),
            ServerListEndpoints(dependencies), ServerActionEndpoints(dependencies, servers),
            ServerMetadataEndpoints(dependencies, servers), ServerNetworkEndpoints(dependencies, servers),
            ServerDetailEndpoints(dependencies, servers), InstanceActionEndpoints(dependencies, servers),
            LimitEndpoints(dependencies), QuotaEndpoints(dependencies),
            UsageEndpoints(dependencies), ServiceEndpoints(dependencies), HypervisorEndpoints(dependencies),
            ZoneEndpoints(dependencies), AggregateEndpoints(dependencies),
            ServerGroupEndpoints(dependencies), ExtensionEndpoints(), EmptyEndpoints(), GoneEndpoints(),
        ]
    }

    /// Everything below `/compute/v2.1`.
    var routes: [ComputeRoute] { endpoints.flatMap(\.routes) }

    package func addRoutes(to routes: APIRoutes) {
        VersionDocuments.addRoutes(to: routes)
        let secured = routes.group("v2.1").add(middleware: Authentication(dependencies.tokens))
        for route in self.routes {
            for prefix in ["", "{project}/"] {
                secured.on(RouterPath(prefix + route.path), method: route.method) { request, context in
                    try await Self.answer(route, request, context, hasProject: !prefix.isEmpty)
                }
            }
        }
    }

    /// Negotiates, authorises, runs; the version's headers go on answers and errors alike.
    private static func answer(
        _ route: ComputeRoute, _ request: Request, _ context: APIContext, hasProject: Bool
    ) async throws -> Response {
        let minor: Int
        do {
            minor = try Microversion.negotiate(request.headers)
        } catch {
            throw withHeaders(error, minor: Microversion.minimum)
        }
        do {
            let call = try prepare(request, context, minor: minor, hasProject: hasProject)
            guard route.versions.contains(minor) else { throw APIFault.notFound() }
            try route.authorize(call)
            var response = try await route.handler(call)
            for (name, value) in Microversion.headers(minor) { response.headers[name] = value }
            return response
        } catch {
            guard let fault = error as? APIFault ?? ComputeFaults.fault(error) else { throw error }
            throw withHeaders(fault, minor: minor)
        }
    }

    private static func prepare(
        _ request: Request, _ context: APIContext, minor: Int, hasProject: Bool
    ) throws(APIFault) -> ComputeRequest {
        let auth = try context.requireAuth()
        let project = try auth.requireProject().id
        var computeURL = context.serviceURL + "/v2.1"
        if hasProject {
            let asked = context.parameter("project")
            guard Identifier<Never>(asked) != nil else { throw .notFound() }
            guard asked == project.text else {
                throw .badRequest(
                    "Malformed request URL: URL's project_id '\(asked)' doesn't match Context's project_id "
                        + "'\(project.text)'")
            }
            computeURL += "/\(asked)"
        }
        return ComputeRequest(
            request: request, context: context, auth: auth, project: project, version: minor,
            query: try request.queryParameters(), computeURL: computeURL)
    }

    private static func withHeaders(_ fault: APIFault, minor: Int) -> APIFault {
        var fault = fault
        for (name, value) in Microversion.headers(minor) { fault.headers[name] = value }
        return fault
    }
}

package import CellProtocol
package import CloudModel
import FoundationEssentials
package import HTTPKit
import HTTPTypes
import Hummingbird
import MessageBus
package import Primitives

/// Everything that the cells API needs, given by its process.
package struct CellsDependencies: Sendable {
    package var registry: any CellRegistry
    package var cells: any CellRouter
    package var actions: any InstanceActionStore
    package var tokens: any TokenValidator
    package var wallClock: any WallClock
    /// How long a cell may take to hear an operator's word on one of its hosts.
    package var cellTimeout: Duration

    package init(
        registry: any CellRegistry, cells: any CellRouter, actions: any InstanceActionStore,
        tokens: any TokenValidator, wallClock: any WallClock, cellTimeout: Duration = .seconds(5)
    ) {
        self.registry = registry
        self.cells = cells
        self.actions = actions
        self.tokens = tokens
        self.wallClock = wallClock
        self.cellTimeout = cellTimeout
    }
}

/// The cells API, v1 at `/cells`: the tree that users never see, for administrators.
///
/// It reads the root's database only, so a cell that is down is shown as fast as any other; but sagas are their cells' own.
package struct CellsService: APIService {
    package let name = "cells"
    package let path = "/cells"
    package let faults: any FaultRenderer = NovaFaults()

    private let dependencies: CellsDependencies

    package init(_ dependencies: CellsDependencies) { self.dependencies = dependencies }

    package func addRoutes(to routes: APIRoutes) {
        routes.get("") { _, context in Response.json(["versions": [Self.version(context)]]) }
        routes.get("v1") { _, context in Response.json(["version": Self.version(context)]) }
        let secured = routes.group("v1").add(middleware: Authentication(dependencies.tokens))
        let cells = CellEndpoints(dependencies)
        let hosts = HostEndpoints(dependencies)
        let servers = ServerEndpoints(dependencies)
        secured.get("cells") { try await cells.list(try CellsRequest($0, $1)) }
        secured.get("cells/**") { try await cells.show(try CellsRequest($0, $1)) }
        secured.put("cells/**") { try await cells.order(try CellsRequest($0, $1)) }
        secured.delete("cells/**") { try await cells.retire(try CellsRequest($0, $1)) }
        secured.get("hosts") { try await hosts.list(try CellsRequest($0, $1)) }
        secured.get("hosts/{name}") { try await hosts.show(try CellsRequest($0, $1)) }
        secured.put("hosts/{name}") { try await hosts.order(try CellsRequest($0, $1)) }
        let sagas = SagaEndpoints(dependencies)
        secured.get("sagas") { try await sagas.list(try CellsRequest($0, $1)) }
        secured.get("sagas/{id}") { try await sagas.show(try CellsRequest($0, $1)) }
        secured.put("sagas/{id}") { try await sagas.order(try CellsRequest($0, $1)) }
        secured.get("servers/{id}") { try await servers.show(try CellsRequest($0, $1)) }
    }

    private static func version(_ context: APIContext) -> JSONValue {
        [
            "id": "v1", "status": "CURRENT", "updated": "2026-11-23T00:00:00Z",
            "links": [["rel": "self", "href": .string(context.serviceURL + "/v1/")]],
        ]
    }
}

/// A request of an administrator.
struct CellsRequest {
    /// Rows of one page, at most.
    static let pageLimit = 1000

    let request: Request
    let context: APIContext
    let auth: AuthContext
    let query: QueryParameters

    /// - Throws: a 403 for anybody else.
    init(_ request: Request, _ context: APIContext) throws {
        auth = try context.requireAuth()
        guard auth.isAdmin else { throw APIFault.forbidden("Policy doesn't allow this action to be performed.") }
        self.request = request
        self.context = context
        query = try request.queryParameters()
    }

    func check(_ allowed: [String]) throws(APIFault) {
        for item in query.items where !allowed.contains(item.name) {
            throw .badRequest(
                "Invalid input for query parameters: '\(item.name.prefix(100))' is not one of "
                    + (allowed.isEmpty ? "none" : allowed.joined(separator: ", ")))
        }
    }

    /// For a call to a cell in the administrator's name.
    func cellContext(within limit: Duration, now: Date) -> CellCallContext {
        let caller = Caller(
            userID: auth.userID.text, projectID: auth.projectID?.text ?? "", roles: auth.roleNames)
        return CellCallContext(
            requestID: context.requestID, caller: caller, deadline: now.addingTimeInterval(limit / .seconds(1)))
    }

    func page() throws(APIFault) -> PageRequest { try PageRequest(query, maximum: Self.pageLimit) }

    func next(_ collection: String, lastID: String) -> JSONValue {
        let base = "\(context.serviceURL)/v1/\(collection)"
        return [["rel": "next", "href": .string(PageRequest.nextLink(base: base, query: query, lastID: lastID))]]
    }

    /// `{KIND: {"state": "draining", "reason": "..."}}`
    func order(_ kind: String, now: Date) async throws -> PlacementOrder {
        var body = try await context.jsonObject(request, key: kind)
        let text = try body.requiredString("state")
        let reason = try body.string("reason", length: 1...PlacementOrder.reasonLimit, nullable: true)
        try body.finish()
        guard let state = PlacementOrder.State(rawValue: text) else {
            let known = PlacementOrder.State.allCases.map(\.rawValue).joined(separator: ", ")
            throw body.invalid("state", .string(text), "is not one of \(known)")
        }
        guard state != .enabled || reason == nil else {
            throw APIFault.badRequest("A reason is for 'disabled' and 'draining' only.")
        }
        return PlacementOrder(state, reason: reason, since: now)
    }
}

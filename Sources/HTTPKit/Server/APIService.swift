/// One REST service of the API process, mounted under its own path.
package protocol APIService: Sendable {
    /// For logs and metrics: `compute`.
    var name: String { get }

    /// Where it is mounted, one word: `/compute`. Everything below belongs to it, its own 404 included.
    var path: String { get }

    /// How it says no.
    var faults: any FaultRenderer { get }

    /// Bytes of a body that is read as one piece; streamed bodies have their own limits.
    var bodyLimit: Int { get }

    /// Adds its routes, relative to ``path``. Called once, when the server is built.
    ///
    ///     func addRoutes(to routes: APIRoutes) {
    ///         routes.get("v2.1") { request, context in ... }                     // open
    ///         let secured = routes.group("v2.1").add(middleware: Authentication(validator))
    ///         secured.get("servers/{id}") { request, context in ... }
    ///     }
    ///
    /// Write parameters as `{id}`, with one name for one position in all routes. HEAD follows from GET; another method on
    /// a known path is answered 405 with `Allow`.
    func addRoutes(to routes: APIRoutes)
}

extension APIService {
    /// As Nova's, Neutron's and Keystone's.
    package var bodyLimit: Int { 114_688 }
}

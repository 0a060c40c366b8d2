package import Hummingbird
import Logging
import NIOCore
package import Primitives
import Synchronization

/// What a handler knows about its request besides the request itself.
package struct APIContext: RequestContext {
    package var coreContext: CoreRequestContextStorage
    /// `req-<uuid>`, made here; goes through the bus and comes back in the response.
    package var requestID = ""
    /// The id a client or another service gave the whole chain of requests, if well formed.
    package var globalRequestID: String?
    /// What a balancer or client gave this request and each of its repeats, if well formed.
    package var idempotencyKey: String?
    /// Where clients reach this server, without a slash at the end: `https://cloud.example.org`.
    package var baseURL = ""
    /// Where clients reach this service: ``baseURL`` with the service's path, as `http://host:8774/compute`.
    package var serviceURL = ""
    /// Bytes of a body that is read as one piece.
    package var bodyLimit = 0
    /// Set by ``Authentication``.
    package var auth: AuthContext?
    /// What inner layers tell the access log.
    let record: RequestRecord

    package init(source: ApplicationRequestContextSource) {
        coreContext = CoreRequestContextStorage(source: source)
        record = RequestRecord(peer: source.channel.remoteAddress?.ipAddress)
    }

    package var maxUploadSize: Int { bodyLimit }

    /// The caller of a route behind ``Authentication``.
    /// - Throws: a 401 when the route is not.
    package func requireAuth() throws(APIFault) -> AuthContext {
        guard let auth else { throw .unauthorized() }
        return auth
    }

    /// A path parameter, percent-decoded. Naming one that the route lacks is the programmer's error.
    package func parameter(_ name: String) -> String {
        guard let raw = parameters.get(name) else { preconditionFailure("the route has no parameter \(name)") }
        return PercentCoding.decode(raw) ?? raw
    }

    /// A path parameter that is a UUID.
    /// - Throws: a 404 with `message` for anything else: clients look things up by name this way.
    package func identifier<Subject>(_ name: String, orNotFound message: String) throws(APIFault) -> Identifier<Subject>
    {
        guard let id = Identifier<Subject>(parameter(name)) else { throw .notFound(message) }
        return id
    }
}

/// Facts that are known only inside and wanted outside, in the access log.
final class RequestRecord: Sendable {
    let peer: String?
    private let auth = Mutex<AuthContext?>(nil)

    init(peer: String?) { self.peer = peer }

    func note(_ caller: AuthContext) { auth.withLock { $0 = caller } }
    var caller: AuthContext? { auth.withLock { $0 } }
}

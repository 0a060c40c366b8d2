package import HTTPTypes

extension HTTPField.Name {
    /// A name that the program states; a malformed one is the programmer's error.
    package init(fixed name: String) {
        guard let field = Self(name) else { preconditionFailure("not a header name: \(name)") }
        self = field
    }

    package static let authToken = Self(fixed: "X-Auth-Token")
    package static let subjectToken = Self(fixed: "X-Subject-Token")
    package static let imageTicket = Self(fixed: "X-Image-Ticket")
    package static let openStackRequestID = Self(fixed: "X-Openstack-Request-Id")
    /// The same in every repeat of one request, so that it is carried out once.
    package static let idempotencyKey = Self(fixed: "Idempotency-Key")
    package static let computeRequestID = Self(fixed: "X-Compute-Request-Id")
    package static let openStackAPIVersion = Self(fixed: "OpenStack-API-Version")
    /// On a list of which rows may be missing: the cells whose rows are being read again.
    package static let incomplete = Self(fixed: "X-Cellwright-Incomplete")
    package static let forwardedProto = Self(fixed: "X-Forwarded-Proto")
    package static let forwardedHost = Self(fixed: "X-Forwarded-Host")
    package static let forwardedPort = Self(fixed: "X-Forwarded-Port")
    package static let forwardedPrefix = Self(fixed: "X-Forwarded-Prefix")
}

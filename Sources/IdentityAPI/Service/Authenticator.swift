import CloudModel
import FoundationEssentials
import HTTPKit
import Primitives

/// Turns what somebody shows (a password, a token, an application credential) into a token. Every refusal is the same
/// 401: nobody learns whether a user exists, is disabled, or only mistyped.
struct Authenticator: Sendable {
    let repository: any IdentityRepository
    let hasher: PasswordHasher
    let authority: TokenAuthority

    /// Who was recognised, before a scope is chosen.
    private struct Subject {
        var user: User
        var domain: IdentityDomain
        var methods: [String]
        /// The first audit id of the chain, for tokens had by tokens.
        var chain: String?
        /// Tokens had by tokens end with them.
        var expiresAt: Date?
        var credential: ApplicationCredential?
        /// What the token shown was scoped to: a token of an application credential goes nowhere else.
        var boundProject: ProjectID?
        var boundCredential: TokenPayload.Credential?
    }

    func authenticate(_ request: AuthRequest) async throws -> (token: String, payload: TokenPayload) {
        let subject = try await recognise(request.method)
        var payload = TokenPayload(
            userID: subject.user.id, userName: subject.user.name,
            userDomain: .init(id: subject.domain.id.text, name: subject.domain.name), project: nil, roles: [],
            methods: subject.methods,
            auditIDs: [Base64URL.encode(SecureBytes.make(16))] + (subject.chain.map { [$0] } ?? []),
            issuedAt: authority.now(), expiresAt: authority.newExpiry(), credential: nil)
        if let limit = subject.expiresAt { payload.expiresAt = min(limit, payload.expiresAt) }
        try await choose(request.scope, for: subject, payload: &payload)
        return (authority.sign(payload), payload)
    }

    // MARK: who

    private func recognise(_ method: AuthRequest.Method) async throws -> Subject {
        switch method {
        case .password(let reference, let password):
            let user = try await user(reference)
            guard try await hasher.verify(password, against: user?.passwordHash), let user else {
                throw APIFault.unauthorized()
            }
            return try await enabled(user, methods: [method.name])
        case .token(let text):
            guard let shown = try authority.read(text), let user = try await repository.user(shown.userID) else {
                throw APIFault.unauthorized()
            }
            var subject = try await enabled(user, methods: Set(shown.methods + [method.name]).sorted())
            subject.chain = shown.auditIDs.last
            subject.expiresAt = shown.expiresAt
            if let credential = shown.credential {
                subject.boundCredential = credential
                subject.boundProject = shown.project?.id
                subject.credential = try await repository.applicationCredential(credential.id)
                guard subject.credential != nil else { throw APIFault.unauthorized() }
            }
            return subject
        case .credential(let id, let secret):
            return try await recognise(try await repository.applicationCredential(id), secret, method)
        case .namedCredential(let name, let reference, let secret):
            var credential: ApplicationCredential?
            if let owner = try await user(reference) {
                credential = try await repository.applicationCredentials(user: owner.id, name: name).first
            }
            return try await recognise(credential, secret, method)
        }
    }

    private func recognise(
        _ credential: ApplicationCredential?, _ secret: Secret, _ method: AuthRequest.Method
    ) async throws -> Subject {
        guard try await hasher.verify(secret, against: credential?.secretHash), let credential,
            credential.expiresAt.map({ $0 > authority.now() }) ?? true,
            let user = try await repository.user(credential.userID)
        else { throw APIFault.unauthorized() }
        var subject = try await enabled(user, methods: [method.name])
        subject.credential = credential
        subject.expiresAt = credential.expiresAt
        subject.boundProject = credential.projectID
        subject.boundCredential = .init(
            id: credential.id, name: credential.name, isRestricted: !credential.isUnrestricted)
        return subject
    }

    private func user(_ reference: AuthRequest.UserReference) async throws -> User? {
        switch reference {
        case .id(let id): return try await repository.user(id)
        case .name(let name, let domain):
            guard let domain = try await self.domain(domain) else { return nil }
            return try await repository.users(AccountFilter(name: name, domainID: domain.id)).first
        }
    }

    private func domain(_ reference: AuthRequest.DomainReference) async throws -> IdentityDomain? {
        switch reference {
        case .id(let id): try await repository.domain(id)
        case .name(let name): try await repository.domains(name: name).first
        }
    }

    private func enabled(_ user: User, methods: [String]) async throws -> Subject {
        guard user.isEnabled, let domain = try await repository.domain(user.domainID), domain.isEnabled else {
            throw APIFault.unauthorized()
        }
        return Subject(user: user, domain: domain, methods: methods)
    }

    // MARK: where

    private func choose(
        _ scope: AuthRequest.Scope, for subject: Subject, payload: inout TokenPayload
    ) async throws {
        if let bound = subject.boundProject {
            // An application credential opens one project, whether it is named again or not.
            guard try await names(scope, bound) else { throw APIFault.unauthorized() }
            payload.credential = subject.boundCredential
            try await enter(try await repository.project(bound), subject, &payload)
            return
        }
        switch scope {
        case .unscoped: return
        case .unspecified:
            guard let id = subject.user.defaultProjectID else { return }
            // A default that can't be entered is no reason to refuse: the token is unscoped then.
            do {
                try await enter(try await repository.project(id), subject, &payload)
            } catch is APIFault {}
        case .project(let id): try await enter(try await repository.project(id), subject, &payload)
        case .namedProject(let name, let reference):
            try await enter(try await project(name, reference), subject, &payload)
        case .unsupported: throw APIFault.unauthorized()
        }
    }

    private func project(_ name: String, _ reference: AuthRequest.DomainReference) async throws -> Project? {
        guard let domain = try await domain(reference) else { return nil }
        return try await repository.projects(AccountFilter(name: name, domainID: domain.id)).first
    }

    private func names(_ scope: AuthRequest.Scope, _ bound: ProjectID) async throws -> Bool {
        switch scope {
        case .unspecified: true
        case .project(let id): id == bound
        case .namedProject(let name, let reference): try await project(name, reference)?.id == bound
        case .unscoped, .unsupported: false
        }
    }

    private func enter(_ project: Project?, _ subject: Subject, _ payload: inout TokenPayload) async throws {
        guard let project, project.isEnabled, let domain = try await repository.domain(project.domainID),
            domain.isEnabled
        else { throw APIFault.unauthorized() }
        var roles = try await repository.effectiveRoles(user: subject.user.id, project: project.id)
        if let credential = subject.credential { roles = roles.filter { credential.roleIDs.contains($0.id) } }
        guard !roles.isEmpty else { throw APIFault.unauthorized() }
        payload.project = .init(
            id: project.id, name: project.name, domain: .init(id: domain.id.text, name: domain.name))
        payload.roles = roles.map { .init(id: $0.id.text, name: $0.name) }
    }
}

import CloudModel
import FoundationEssentials
import HTTPKit
import Primitives
import Synchronization

/// All live revocations in memory, so that judging a token asks nobody.
final class RevocationCache: Sendable {
    private struct State {
        /// The latest `issuedUntil` of each scope, in microseconds, and when it can be forgotten.
        var scopes: [TokenRevocation.Scope: (issuedUntil: Int64, expiresAt: Date)] = [:]
        var isLoaded = false

        mutating func insert(_ revocation: TokenRevocation) {
            let new = revocation.issuedUntil.microseconds
            let old = scopes[revocation.scope]
            scopes[revocation.scope] = (
                max(new, old?.issuedUntil ?? new), max(revocation.expiresAt, old?.expiresAt ?? revocation.expiresAt)
            )
        }
    }

    private let state = Mutex(State())

    /// Whether the storage has been read: before, nobody knows whether a token is revoked.
    var isLoaded: Bool { state.withLock(\.isLoaded) }

    /// What the storage holds takes the place of everything.
    func replace(with revocations: [TokenRevocation]) {
        state.withLock { state in
            state.scopes = [:]
            for revocation in revocations { state.insert(revocation) }
            state.isLoaded = true
        }
    }

    /// Also forgets what has expired at `now`.
    func add(_ revocation: TokenRevocation, now: Date) {
        state.withLock { state in
            state.insert(revocation)
            state.scopes = state.scopes.filter { $0.value.expiresAt > now }
        }
    }

    func isRevoked(_ token: TokenPayload) -> Bool {
        let issuedAt = token.issuedAt.microseconds
        return state.withLock { state in
            guard !state.scopes.isEmpty else { return false }
            return Self.scopes(of: token).contains { scope in
                guard let entry = state.scopes[scope] else { return false }
                return issuedAt <= entry.issuedUntil
            }
        }
    }

    private static func scopes(of token: TokenPayload) -> [TokenRevocation.Scope] {
        var scopes: [TokenRevocation.Scope] = [.user(token.userID)]
        if let id = token.auditIDs.first { scopes.append(.token(auditID: id)) }
        if let project = token.project {
            scopes.append(.project(project.id))
            scopes.append(.membership(token.userID, project.id))
        }
        if let credential = token.credential { scopes.append(.applicationCredential(credential.id)) }
        scopes.append(contentsOf: token.roles.map { .role(RoleID($0.id)) })
        return scopes
    }
}

package import CloudModel
package import FoundationEssentials
import Synchronization

/// Identity without a database: the stand-in for tests, held to the same contract as PostgreSQL.
package final class InMemoryIdentityRepository: IdentityRepository {
    private struct State {
        var domains: [DomainID: IdentityDomain] = [:]
        var projects: [ProjectID: Project] = [:]
        var users: [UserID: User] = [:]
        var roles: [RoleID: Role] = [:]
        var implications: Set<RoleImplication> = []
        var assignments: Set<RoleAssignment> = []
        var credentials: [ApplicationCredentialID: ApplicationCredential] = [:]
        var revocations: [TokenRevocation] = []
        var watchers: [Int: AsyncStream<RevocationChange>.Continuation] = [:]
        var nextWatcher = 0
        var isBroken = false
    }

    private let state = Mutex(State())

    package init() {}

    /// From now on every call fails, until mended.
    package func breakDown() { state.withLock { $0.isBroken = true } }
    package func mend() { state.withLock { $0.isBroken = false } }

    private func run<Value: Sendable>(
        _ body: (inout State) throws(IdentityStoreError) -> Value
    ) throws(IdentityStoreError) -> Value {
        let outcome: Result<Value, IdentityStoreError> = state.withLock { state in
            guard !state.isBroken else { return .failure(.unavailable("broken on purpose")) }
            do throws(IdentityStoreError) {
                return .success(try body(&state))
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private static func matches(
        _ filter: AccountFilter, name: String, domain: DomainID, isEnabled: Bool
    ) -> Bool {
        (filter.name ?? name) == name && (filter.domainID ?? domain) == domain
            && (filter.isEnabled ?? isEnabled) == isEnabled
    }

    private static func check(_ texts: String...) throws(IdentityStoreError) {
        guard texts.allSatisfy({ !$0.utf8.contains(0) }) else { throw .invalidText }
    }

    private static func publish(_ revocation: TokenRevocation?, _ state: inout State) {
        guard let revocation else { return }
        state.revocations.append(revocation)
        for watcher in state.watchers.values { watcher.yield(.added(revocation)) }
    }
}

extension InMemoryIdentityRepository {
    package func domains(name: String?) async throws(IdentityStoreError) -> [IdentityDomain] {
        try run { state in
            state.domains.values.filter { (name ?? $0.name) == $0.name }.sorted { $0.name < $1.name }
        }
    }

    package func domain(_ id: DomainID) async throws(IdentityStoreError) -> IdentityDomain? {
        try run { $0.domains[id] }
    }

    package func insert(_ domain: IdentityDomain) async throws(IdentityStoreError) {
        try run { state throws(IdentityStoreError) in
            guard !state.domains.values.contains(where: { $0.id == domain.id || $0.name == domain.name }) else {
                throw .duplicate
            }
            state.domains[domain.id] = domain
        }
    }

    package func projects(_ filter: AccountFilter) async throws(IdentityStoreError) -> [Project] {
        try Self.check(filter.name ?? "")
        return try run { state in
            state.projects.values.filter {
                Self.matches(filter, name: $0.name, domain: $0.domainID, isEnabled: $0.isEnabled)
            }.sorted { $0.name < $1.name }
        }
    }

    package func projects(ofUser user: UserID) async throws(IdentityStoreError) -> [Project] {
        try run { state in
            let ids = Set(state.assignments.filter { $0.userID == user }.map(\.projectID))
            return state.projects.values.filter { ids.contains($0.id) }.sorted { $0.name < $1.name }
        }
    }

    package func project(_ id: ProjectID) async throws(IdentityStoreError) -> Project? {
        try Self.check(id.text)
        return try run { $0.projects[id] }
    }

    package func insert(_ project: Project) async throws(IdentityStoreError) {
        try Self.check(project.name)
        try run { state throws(IdentityStoreError) in
            guard state.domains[project.domainID] != nil else { throw .dangling }
            guard state.projects[project.id] == nil else { throw .duplicate }
            try Self.store(project, &state)
        }
    }

    private static func store(_ project: Project, _ state: inout State) throws(IdentityStoreError) {
        let isTaken = state.projects.values.contains {
            $0.id != project.id && $0.name == project.name && $0.domainID == project.domainID
        }
        guard !isTaken else { throw .duplicate }
        state.projects[project.id] = project
    }

    package func update(_ project: Project, revoking: TokenRevocation?) async throws(IdentityStoreError) -> Bool {
        try run { state throws(IdentityStoreError) in
            guard state.projects[project.id] != nil else { return false }
            try Self.store(project, &state)
            Self.publish(revoking, &state)
            return true
        }
    }

    package func deleteProject(
        _ id: ProjectID, revoking: TokenRevocation
    ) async throws(IdentityStoreError) -> Bool {
        try run { state in
            let isFound = state.projects.removeValue(forKey: id) != nil
            state.assignments = state.assignments.filter { $0.projectID != id }
            state.credentials = state.credentials.filter { $0.value.projectID != id }
            Self.publish(revoking, &state)
            return isFound
        }
    }

    package func users(_ filter: AccountFilter) async throws(IdentityStoreError) -> [User] {
        try Self.check(filter.name ?? "")
        return try run { state in
            state.users.values.filter {
                Self.matches(filter, name: $0.name, domain: $0.domainID, isEnabled: $0.isEnabled)
            }.sorted { $0.name < $1.name }
        }
    }

    package func user(_ id: UserID) async throws(IdentityStoreError) -> User? {
        try Self.check(id.text)
        return try run { $0.users[id] }
    }

    package func insert(_ user: User) async throws(IdentityStoreError) {
        try Self.check(user.name)
        try run { state throws(IdentityStoreError) in
            guard state.domains[user.domainID] != nil else { throw .dangling }
            guard state.users[user.id] == nil else { throw .duplicate }
            try Self.store(user, &state)
        }
    }

    private static func store(_ user: User, _ state: inout State) throws(IdentityStoreError) {
        let isTaken = state.users.values.contains {
            $0.id != user.id && $0.name == user.name && $0.domainID == user.domainID
        }
        guard !isTaken else { throw .duplicate }
        state.users[user.id] = user
    }

    package func update(_ user: User, revoking: TokenRevocation?) async throws(IdentityStoreError) -> Bool {
        try run { state throws(IdentityStoreError) in
            guard let old = state.users[user.id] else { return false }
            var user = user
            user.passwordHash = user.passwordHash ?? old.passwordHash
            try Self.store(user, &state)
            Self.publish(revoking, &state)
            return true
        }
    }

    package func deleteUser(_ id: UserID, revoking: TokenRevocation) async throws(IdentityStoreError) -> Bool {
        try run { state in
            let isFound = state.users.removeValue(forKey: id) != nil
            state.assignments = state.assignments.filter { $0.userID != id }
            state.credentials = state.credentials.filter { $0.value.userID != id }
            Self.publish(revoking, &state)
            return isFound
        }
    }
}

extension InMemoryIdentityRepository {
    package func roles(name: String?) async throws(IdentityStoreError) -> [Role] {
        try run { state in
            state.roles.values.filter { (name ?? $0.name) == $0.name }.sorted { $0.name < $1.name }
        }
    }

    package func role(_ id: RoleID) async throws(IdentityStoreError) -> Role? { try run { $0.roles[id] } }

    package func insert(_ role: Role) async throws(IdentityStoreError) {
        try run { state throws(IdentityStoreError) in
            guard !state.roles.values.contains(where: { $0.id == role.id || $0.name == role.name }) else {
                throw .duplicate
            }
            state.roles[role.id] = role
        }
    }

    package func update(_ role: Role) async throws(IdentityStoreError) -> Bool {
        try run { state throws(IdentityStoreError) in
            guard state.roles[role.id] != nil else { return false }
            guard !state.roles.values.contains(where: { $0.id != role.id && $0.name == role.name }) else {
                throw .duplicate
            }
            state.roles[role.id] = role
            return true
        }
    }

    package func deleteRole(_ id: RoleID, revoking: TokenRevocation) async throws(IdentityStoreError) -> Bool {
        try run { state in
            let isFound = state.roles.removeValue(forKey: id) != nil
            state.assignments = state.assignments.filter { $0.roleID != id }
            state.implications = state.implications.filter { $0.prior != id && $0.implied != id }
            Self.publish(revoking, &state)
            return isFound
        }
    }

    package func implications() async throws(IdentityStoreError) -> [RoleImplication] {
        try run { $0.implications.sorted { ($0.prior, $0.implied) < ($1.prior, $1.implied) } }
    }

    package func insert(_ implication: RoleImplication) async throws(IdentityStoreError) {
        try run { state throws(IdentityStoreError) in
            guard state.roles[implication.prior] != nil, state.roles[implication.implied] != nil else {
                throw .dangling
            }
            state.implications.insert(implication)
        }
    }

    package func assignments(
        user: UserID?, project: ProjectID?, role: RoleID?
    ) async throws(IdentityStoreError) -> [RoleAssignment] {
        try run { state in
            state.assignments.filter {
                (user ?? $0.userID) == $0.userID && (project ?? $0.projectID) == $0.projectID
                    && (role ?? $0.roleID) == $0.roleID
            }.sorted { ($0.userID, $0.projectID, $0.roleID) < ($1.userID, $1.projectID, $1.roleID) }
        }
    }

    package func effectiveRoles(
        user: UserID, project: ProjectID
    ) async throws(IdentityStoreError) -> [Role] {
        try run { state in
            var ids: Set<RoleID> = []
            var rest = state.assignments.filter { $0.userID == user && $0.projectID == project }.map(\.roleID)
            while let id = rest.popLast() {
                guard ids.insert(id).inserted else { continue }
                rest += state.implications.filter { $0.prior == id }.map(\.implied)
            }
            return state.roles.values.filter { ids.contains($0.id) }.sorted { $0.name < $1.name }
        }
    }

    package func assign(_ assignment: RoleAssignment) async throws(IdentityStoreError) {
        try run { state throws(IdentityStoreError) in
            guard state.users[assignment.userID] != nil, state.projects[assignment.projectID] != nil,
                state.roles[assignment.roleID] != nil
            else { throw .dangling }
            state.assignments.insert(assignment)
        }
    }

    package func unassign(
        _ assignment: RoleAssignment, revoking: TokenRevocation
    ) async throws(IdentityStoreError) -> Bool {
        try run { state in
            let isFound = state.assignments.remove(assignment) != nil
            Self.publish(revoking, &state)
            return isFound
        }
    }
}

extension InMemoryIdentityRepository {
    package func applicationCredentials(
        user: UserID, name: String?
    ) async throws(IdentityStoreError) -> [ApplicationCredential] {
        try run { state in
            state.credentials.values.filter { $0.userID == user && (name ?? $0.name) == $0.name }
                .sorted { $0.name < $1.name }
        }
    }

    package func applicationCredential(
        _ id: ApplicationCredentialID
    ) async throws(IdentityStoreError) -> ApplicationCredential? { try run { $0.credentials[id] } }

    package func insert(_ credential: ApplicationCredential) async throws(IdentityStoreError) {
        try run { state throws(IdentityStoreError) in
            guard state.users[credential.userID] != nil, state.projects[credential.projectID] != nil else {
                throw .dangling
            }
            let isTaken = state.credentials.values.contains {
                $0.id == credential.id || ($0.userID == credential.userID && $0.name == credential.name)
            }
            guard !isTaken else { throw .duplicate }
            state.credentials[credential.id] = credential
        }
    }

    package func deleteApplicationCredential(
        _ id: ApplicationCredentialID, revoking: TokenRevocation
    ) async throws(IdentityStoreError) -> Bool {
        try run { state in
            let isFound = state.credentials.removeValue(forKey: id) != nil
            Self.publish(revoking, &state)
            return isFound
        }
    }

    package func add(_ revocation: TokenRevocation) async throws(IdentityStoreError) {
        try run { Self.publish(revocation, &$0) }
    }

    package func revocations(at time: Date) async throws(IdentityStoreError) -> [TokenRevocation] {
        try run { $0.revocations.filter { $0.expiresAt > time } }
    }

    package func watchRevocations(_ body: @Sendable (RevocationChange) async -> Void) async {
        let (stream, continuation) = AsyncStream.makeStream(of: RevocationChange.self)
        let id = state.withLock { state in
            state.nextWatcher += 1
            state.watchers[state.nextWatcher] = continuation
            return state.nextWatcher
        }
        continuation.yield(.reload)
        for await change in stream { await body(change) }
        state.withLock { _ = $0.watchers.removeValue(forKey: id) }
    }
}

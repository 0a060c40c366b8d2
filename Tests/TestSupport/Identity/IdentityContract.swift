package import CloudModel
import FoundationEssentials
import Primitives
import Synchronization
import Testing

/// What every identity repository keeps to. Each case gets a repository of its own, empty.
package enum IdentityContract {
    package struct Case: Sendable, CustomTestStringConvertible {
        package let name: String
        package let run: @Sendable (any IdentityRepository) async throws -> Void
        package var testDescription: String { name }
    }

    package static let cases: [Case] = [
        Case(name: "keeps projects", run: keepsProjects),
        Case(name: "keeps users", run: keepsUsers),
        Case(name: "keeps names apart by domain", run: keepsNamesApart),
        Case(name: "refuses what refers to nothing", run: refusesDangling),
        Case(name: "refuses text that can't be stored", run: refusesText),
        Case(name: "expands roles", run: expandsRoles),
        Case(name: "keeps assignments", run: keepsAssignments),
        Case(name: "forgets what hangs on a deleted thing", run: cascades),
        Case(name: "keeps application credentials", run: keepsCredentials),
        Case(name: "stores revocations with changes", run: storesRevocations),
        Case(name: "tells watchers of revocations", run: tellsWatchers),
    ]

    private static let now = Date(timeIntervalSince1970: 1_800_000_000.123456)

    private static func revocation(_ scope: TokenRevocation.Scope, at time: Date = now) -> TokenRevocation {
        TokenRevocation(scope: scope, issuedUntil: time, expiresAt: time.addingTimeInterval(3600))
    }

    private static func prepare(_ store: any IdentityRepository) async throws {
        try await store.insert(IdentityDomain(id: "default", name: "Default"))
        try await store.insert(IdentityDomain(id: "other", name: "Other"))
        try await store.insert(Project(id: "p1", name: "demo", domainID: "default"))
        try await store.insert(User(id: "u1", name: "ann", domainID: "default", passwordHash: Secret("h1")))
        for name in ["admin", "member", "reader"] { try await store.insert(Role(id: RoleID("r-\(name)"), name: name)) }
        try await store.insert(RoleImplication(prior: "r-admin", implied: "r-member"))
        try await store.insert(RoleImplication(prior: "r-member", implied: "r-reader"))
    }

    private static func keepsProjects(_ store: any IdentityRepository) async throws {
        try await prepare(store)
        let project = Project(
            id: "p2", name: "ünï \"q\"", domainID: "default", description: "d", isEnabled: false,
            extra: ["tags": ["a"], "x": ["y": 1]])
        try await store.insert(project)
        #expect(try await store.project("p2") == project)
        #expect(try await store.projects(AccountFilter()).map(\.id) == ["p1", "p2"])
        #expect(try await store.projects(AccountFilter(name: project.name)).map(\.id) == ["p2"])
        #expect(try await store.projects(AccountFilter(isEnabled: true)).map(\.id) == ["p1"])
        #expect(try await store.projects(AccountFilter(domainID: "other")).isEmpty)
        var changed = project
        changed.name = "new"
        changed.extra = [:]
        #expect(try await store.update(changed, revoking: nil))
        #expect(try await store.project("p2") == changed)
        changed.id = "p9"
        #expect(try await !store.update(changed, revoking: nil))
        #expect(try await store.deleteProject("p2", revoking: revocation(.project("p2"))))
        #expect(try await !store.deleteProject("p2", revoking: revocation(.project("p2"))))
        #expect(try await store.project("p2") == nil)
    }

    private static func keepsUsers(_ store: any IdentityRepository) async throws {
        try await prepare(store)
        var user = User(
            id: "u2", name: "bob", domainID: "default", defaultProjectID: "p1", passwordHash: Secret("hash"),
            extra: ["email": "b@example.org"])
        try await store.insert(user)
        #expect(try await store.user("u2") == user)
        #expect(try await store.users(AccountFilter(name: "bob", domainID: "default")) == [user])
        user.passwordHash = nil
        user.isEnabled = false
        #expect(try await store.update(user, revoking: nil))
        #expect(try await store.user("u2")?.passwordHash == Secret("hash"), "an update without one keeps the password")
        #expect(try await store.users(AccountFilter(isEnabled: false)).map(\.id) == ["u2"])
        user.passwordHash = Secret("new")
        user.defaultProjectID = nil
        #expect(try await store.update(user, revoking: nil))
        #expect(try await store.user("u2") == user)
        #expect(try await store.deleteUser("u2", revoking: revocation(.user("u2"))))
        #expect(try await store.user("u2") == nil)
    }

    private static func keepsNamesApart(_ store: any IdentityRepository) async throws {
        try await prepare(store)
        try await store.insert(User(id: "u2", name: "ann", domainID: "other"))
        try await store.insert(Project(id: "p2", name: "demo", domainID: "other"))
        await #expect(throws: IdentityStoreError.duplicate) {
            try await store.insert(User(id: "u3", name: "ann", domainID: "default"))
        }
        await #expect(throws: IdentityStoreError.duplicate) {
            try await store.insert(Project(id: "p3", name: "demo", domainID: "default"))
        }
        await #expect(throws: IdentityStoreError.duplicate) {
            try await store.insert(Role(id: "r9", name: "member"))
        }
        await #expect(throws: IdentityStoreError.duplicate) {
            try await store.insert(IdentityDomain(id: "third", name: "Default"))
        }
        try await store.insert(User(id: "u4", name: "cem", domainID: "default"))
        await #expect(throws: IdentityStoreError.duplicate) {
            try await store.update(User(id: "u4", name: "ann", domainID: "default"), revoking: nil)
        }
        #expect(try await store.domains(name: "Other").map(\.id) == ["other"])
        #expect(try await store.domains(name: nil).map(\.name) == ["Default", "Other"])
    }

    private static func refusesDangling(_ store: any IdentityRepository) async throws {
        try await prepare(store)
        await #expect(throws: IdentityStoreError.dangling) {
            try await store.insert(User(id: "u2", name: "bob", domainID: "nowhere"))
        }
        await #expect(throws: IdentityStoreError.dangling) {
            try await store.assign(RoleAssignment(userID: "u1", projectID: "nothing", roleID: "r-admin"))
        }
    }

    private static func refusesText(_ store: any IdentityRepository) async throws {
        try await prepare(store)
        await #expect(throws: IdentityStoreError.invalidText) {
            try await store.insert(User(id: "u2", name: "b\0b", domainID: "default"))
        }
        await #expect(throws: IdentityStoreError.invalidText) { try await store.user("\0") }
    }

    private static func expandsRoles(_ store: any IdentityRepository) async throws {
        try await prepare(store)
        #expect(try await store.effectiveRoles(user: "u1", project: "p1").isEmpty)
        try await store.assign(RoleAssignment(userID: "u1", projectID: "p1", roleID: "r-admin"))
        #expect(try await store.effectiveRoles(user: "u1", project: "p1").map(\.name) == ["admin", "member", "reader"])
        // A ring of implications ends.
        try await store.insert(RoleImplication(prior: "r-reader", implied: "r-admin"))
        try await store.insert(RoleImplication(prior: "r-reader", implied: "r-admin"))
        #expect(try await store.effectiveRoles(user: "u1", project: "p1").count == 3)
        #expect(try await store.implications().count == 3)
    }

    private static func keepsAssignments(_ store: any IdentityRepository) async throws {
        try await prepare(store)
        let assignment = RoleAssignment(userID: "u1", projectID: "p1", roleID: "r-member")
        try await store.assign(assignment)
        try await store.assign(assignment)
        #expect(try await store.assignments(user: nil, project: nil, role: nil) == [assignment])
        #expect(try await store.assignments(user: "u1", project: "p1", role: "r-member") == [assignment])
        #expect(try await store.assignments(user: nil, project: nil, role: "r-admin").isEmpty)
        #expect(try await store.projects(ofUser: "u1").map(\.id) == ["p1"])
        #expect(try await store.unassign(assignment, revoking: revocation(.membership("u1", "p1"))))
        #expect(try await !store.unassign(assignment, revoking: revocation(.membership("u1", "p1"))))
        #expect(try await store.projects(ofUser: "u1").isEmpty)
    }

    private static func credential(_ id: ApplicationCredentialID, _ name: String) -> ApplicationCredential {
        ApplicationCredential(
            id: id, name: name, userID: "u1", projectID: "p1", secretHash: Secret("s"), roleIDs: ["r-member"],
            description: "d", expiresAt: now, isUnrestricted: true)
    }

    private static func cascades(_ store: any IdentityRepository) async throws {
        try await prepare(store)
        try await store.assign(RoleAssignment(userID: "u1", projectID: "p1", roleID: "r-admin"))
        try await store.insert(credential("c1", "ci"))
        #expect(try await store.deleteRole("r-member", revoking: revocation(.role("r-member"))))
        #expect(try await store.implications().isEmpty)
        #expect(try await store.deleteProject("p1", revoking: revocation(.project("p1"))))
        #expect(try await store.assignments(user: "u1", project: nil, role: nil).isEmpty)
        #expect(try await store.applicationCredential("c1") == nil)
    }

    private static func keepsCredentials(_ store: any IdentityRepository) async throws {
        try await prepare(store)
        let credential = credential("c1", "ci")
        try await store.insert(credential)
        #expect(try await store.applicationCredential("c1") == credential)
        #expect(try await store.applicationCredentials(user: "u1", name: nil) == [credential])
        #expect(try await store.applicationCredentials(user: "u1", name: "other").isEmpty)
        await #expect(throws: IdentityStoreError.duplicate) { try await store.insert(Self.credential("c2", "ci")) }
        #expect(
            try await store.deleteApplicationCredential("c1", revoking: revocation(.applicationCredential("c1"))))
        #expect(try await store.applicationCredential("c1") == nil)
    }

    private static func storesRevocations(_ store: any IdentityRepository) async throws {
        try await prepare(store)
        let user = try #require(try await store.user("u1"))
        #expect(try await store.update(user, revoking: revocation(.user("u1"))))
        let role = revocation(.membership("u1", "p1"), at: now.addingTimeInterval(10))
        try await store.add(role)
        let stored = try await store.revocations(at: now)
        #expect(Set(stored.map(\.scope)) == [.user("u1"), .membership("u1", "p1")])
        // To the microsecond: tokens issued just after must stay good.
        let times = stored.map { ($0.issuedUntil.timeIntervalSince1970 * 1_000_000).rounded() }
        #expect(Set(times) == [1_800_000_000_123_456, 1_800_000_010_123_456])
        #expect(try await store.revocations(at: now.addingTimeInterval(3605)).map(\.scope) == [role.scope])
    }

    private static func tellsWatchers(_ store: any IdentityRepository) async throws {
        try await prepare(store)
        let wanted = revocation(.token(auditID: "a1"))
        let seen = AsyncStream.makeStream(of: RevocationChange.self)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await store.watchRevocations { seen.continuation.yield($0) } }
            var changes = seen.stream.makeAsyncIterator()
            #expect(await changes.next() == .reload)
            try await store.add(wanted)
            guard case .added(let told) = await changes.next() else {
                Issue.record("a watcher is told of what is added")
                return group.cancelAll()
            }
            #expect(told.scope == wanted.scope)
            #expect(abs(told.issuedUntil.timeIntervalSince(wanted.issuedUntil)) < 0.000_001)
            group.cancelAll()
        }
    }
}

package import CloudModel
import PostgresClient
import Primitives

extension PostgresIdentityRepository: AccountRepository {
    // MARK: domains

    package func domains(name: String?) async throws(IdentityStoreError) -> [IdentityDomain] {
        var statement: Statement = "select id, name, description, enabled from identity.domains"
        if let name { statement.append(" where name = \(name)" as Statement) }
        statement.append(raw: " order by name limit \(identityListLimit)")
        return try await rows(statement, Self.domain)
    }

    package func domain(_ id: DomainID) async throws(IdentityStoreError) -> IdentityDomain? {
        try await rows(
            "select id, name, description, enabled from identity.domains where id = \(id.text)", Self.domain
        ).first
    }

    package func insert(_ domain: IdentityDomain) async throws(IdentityStoreError) {
        _ = try await execute(
            """
            insert into identity.domains (id, name, description, enabled)
            values (\(domain.id.text), \(domain.name), \(domain.description), \(domain.isEnabled))
            """)
    }

    private static func domain(_ row: Row) throws(PostgresError) -> IdentityDomain {
        IdentityDomain(
            id: DomainID(try row.get("id")), name: try row.get("name"), description: try row.get("description"),
            isEnabled: try row.get("enabled"))
    }

    // MARK: projects

    private static let projectColumns = "id, domain_id, name, description, enabled, extra"

    package func projects(_ filter: AccountFilter) async throws(IdentityStoreError) -> [Project] {
        try await rows(
            """
            select \(raw: Self.projectColumns) from identity.projects where \(fragment: Self.filter(filter))
            order by name, id limit \(raw: String(identityListLimit))
            """, Self.project)
    }

    package func projects(ofUser user: UserID) async throws(IdentityStoreError) -> [Project] {
        try await rows(
            """
            select \(raw: Self.projectColumns) from identity.projects
            where id in (select project_id from identity.role_assignments where user_id = \(user.text))
            order by name, id limit \(raw: String(identityListLimit))
            """, Self.project)
    }

    package func project(_ id: ProjectID) async throws(IdentityStoreError) -> Project? {
        try await rows(
            "select \(raw: Self.projectColumns) from identity.projects where id = \(id.text)", Self.project
        ).first
    }

    package func insert(_ project: Project) async throws(IdentityStoreError) {
        _ = try await execute(
            """
            insert into identity.projects (\(raw: Self.projectColumns))
            values (\(project.id.text), \(project.domainID.text), \(project.name), \(project.description),
                \(project.isEnabled), \(Self.json(project.extra)))
            """)
    }

    package func update(_ project: Project, revoking: TokenRevocation?) async throws(IdentityStoreError) -> Bool {
        try await change(
            """
            update identity.projects set name = \(project.name), description = \(project.description),
                enabled = \(project.isEnabled), extra = \(Self.json(project.extra))
            where id = \(project.id.text)
            """, revoking: revoking)
    }

    package func deleteProject(
        _ id: ProjectID, revoking: TokenRevocation
    ) async throws(IdentityStoreError) -> Bool {
        try await change("delete from identity.projects where id = \(id.text)", revoking: revoking)
    }

    private static func project(_ row: Row) throws(PostgresError) -> Project {
        Project(
            id: ProjectID(try row.get("id")), name: try row.get("name"), domainID: DomainID(try row.get("domain_id")),
            description: try row.get("description"), isEnabled: try row.get("enabled"),
            extra: try members(row, "extra"))
    }

    // MARK: users

    private static let userColumns = "id, domain_id, name, enabled, default_project_id, password_hash, extra"

    package func users(_ filter: AccountFilter) async throws(IdentityStoreError) -> [User] {
        try await rows(
            """
            select \(raw: Self.userColumns) from identity.users where \(fragment: Self.filter(filter))
            order by name, id limit \(raw: String(identityListLimit))
            """, Self.user)
    }

    package func user(_ id: UserID) async throws(IdentityStoreError) -> User? {
        try await rows(
            "select \(raw: Self.userColumns) from identity.users where id = \(id.text)", Self.user
        ).first
    }

    package func insert(_ user: User) async throws(IdentityStoreError) {
        _ = try await execute(
            """
            insert into identity.users (\(raw: Self.userColumns))
            values (\(user.id.text), \(user.domainID.text), \(user.name), \(user.isEnabled),
                \(user.defaultProjectID?.text), \(user.passwordHash?.reveal()), \(Self.json(user.extra)))
            """)
    }

    package func update(_ user: User, revoking: TokenRevocation?) async throws(IdentityStoreError) -> Bool {
        try await change(
            """
            update identity.users set name = \(user.name), enabled = \(user.isEnabled),
                default_project_id = \(user.defaultProjectID?.text), extra = \(Self.json(user.extra)),
                password_hash = coalesce(\(user.passwordHash?.reveal()), password_hash)
            where id = \(user.id.text)
            """, revoking: revoking)
    }

    package func deleteUser(_ id: UserID, revoking: TokenRevocation) async throws(IdentityStoreError) -> Bool {
        try await change("delete from identity.users where id = \(id.text)", revoking: revoking)
    }

    private static func user(_ row: Row) throws(PostgresError) -> User {
        let project: String? = try row.get("default_project_id")
        let hash: String? = try row.get("password_hash")
        return User(
            id: UserID(try row.get("id")), name: try row.get("name"), domainID: DomainID(try row.get("domain_id")),
            isEnabled: try row.get("enabled"), defaultProjectID: project.map { ProjectID($0) },
            passwordHash: hash.map { Secret($0) }, extra: try members(row, "extra"))
    }
}

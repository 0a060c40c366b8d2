package import CloudModel
import PostgresClient

extension PostgresIdentityRepository: RoleRepository {
    package func roles(name: String?) async throws(IdentityStoreError) -> [Role] {
        var statement: Statement = "select id, name, description from identity.roles"
        if let name { statement.append(" where name = \(name)" as Statement) }
        statement.append(raw: " order by name limit \(identityListLimit)")
        return try await rows(statement, Self.role)
    }

    package func role(_ id: RoleID) async throws(IdentityStoreError) -> Role? {
        try await rows("select id, name, description from identity.roles where id = \(id.text)", Self.role).first
    }

    package func insert(_ role: Role) async throws(IdentityStoreError) {
        _ = try await execute(
            """
            insert into identity.roles (id, name, description) values (\(role.id.text), \(role.name), \(role.description))
            """)
    }

    package func update(_ role: Role) async throws(IdentityStoreError) -> Bool {
        try await execute(
            """
            update identity.roles set name = \(role.name), description = \(role.description) where id = \(role.id.text)
            """)
    }

    package func deleteRole(_ id: RoleID, revoking: TokenRevocation) async throws(IdentityStoreError) -> Bool {
        try await change("delete from identity.roles where id = \(id.text)", revoking: revoking)
    }

    private static func role(_ row: Row) throws(PostgresError) -> Role {
        Role(id: RoleID(try row.get("id")), name: try row.get("name"), description: try row.get("description"))
    }

    // MARK: implications

    package func implications() async throws(IdentityStoreError) -> [RoleImplication] {
        try await rows("select prior_id, implied_id from identity.implied_roles order by prior_id, implied_id") {
            row throws(PostgresError) in
            RoleImplication(prior: RoleID(try row.get("prior_id")), implied: RoleID(try row.get("implied_id")))
        }
    }

    package func insert(_ implication: RoleImplication) async throws(IdentityStoreError) {
        _ = try await execute(
            """
            insert into identity.implied_roles (prior_id, implied_id)
            values (\(implication.prior.text), \(implication.implied.text)) on conflict do nothing
            """)
    }

    // MARK: assignments

    package func assignments(
        user: UserID?, project: ProjectID?, role: RoleID?
    ) async throws(IdentityStoreError) -> [RoleAssignment] {
        var conditions: [Statement] = ["true"]
        if let user { conditions.append("user_id = \(user.text)") }
        if let project { conditions.append("project_id = \(project.text)") }
        if let role { conditions.append("role_id = \(role.text)") }
        return try await rows(
            """
            select user_id, project_id, role_id from identity.role_assignments
            where \(fragment: .joined(conditions, separator: " and "))
            order by user_id, project_id, role_id limit \(raw: String(identityListLimit))
            """
        ) { row throws(PostgresError) in
            RoleAssignment(
                userID: UserID(try row.get("user_id")), projectID: ProjectID(try row.get("project_id")),
                roleID: RoleID(try row.get("role_id")))
        }
    }

    package func effectiveRoles(
        user: UserID, project: ProjectID
    ) async throws(IdentityStoreError) -> [Role] {
        try await rows(
            """
            with recursive effective (id) as (
                select role_id from identity.role_assignments
                where user_id = \(user.text) and project_id = \(project.text)
                union
                select i.implied_id from identity.implied_roles i join effective e on i.prior_id = e.id)
            select r.id, r.name, r.description from identity.roles r join effective e on e.id = r.id order by r.name
            """, Self.role)
    }

    package func assign(_ assignment: RoleAssignment) async throws(IdentityStoreError) {
        _ = try await execute(
            """
            insert into identity.role_assignments (user_id, project_id, role_id)
            values (\(assignment.userID.text), \(assignment.projectID.text), \(assignment.roleID.text))
            on conflict do nothing
            """)
    }

    package func unassign(
        _ assignment: RoleAssignment, revoking: TokenRevocation
    ) async throws(IdentityStoreError) -> Bool {
        try await change(
            """
            delete from identity.role_assignments where user_id = \(assignment.userID.text)
                and project_id = \(assignment.projectID.text) and role_id = \(assignment.roleID.text)
            """, revoking: revoking)
    }
}

package import PostgresClient

/// The schema `identity` in the root's database. Append-only.
package enum IdentitySchema {
    package static let name = "identity"

    package static let migrations: [Migration] = [
        Migration(number: 1, name: "accounts and roles", statements: accounts),
        Migration(number: 2, name: "application credentials", statements: credentials),
        Migration(number: 3, name: "token revocations", statements: revocations),
    ]

    private static let accounts = [
        """
        create table domains (
            id text primary key,
            name text not null unique,
            description text not null,
            enabled boolean not null
        )
        """,
        """
        create table projects (
            id text primary key,
            domain_id text not null references domains,
            name text not null,
            description text not null,
            enabled boolean not null,
            extra jsonb not null,
            unique (domain_id, name)
        )
        """,
        """
        create table users (
            id text primary key,
            domain_id text not null references domains,
            name text not null,
            enabled boolean not null,
            default_project_id text,
            password_hash text,
            extra jsonb not null,
            unique (domain_id, name)
        )
        """,
        """
        create table roles (
            id text primary key,
            name text not null unique,
            description text
        )
        """,
        """
        create table implied_roles (
            prior_id text not null references roles on delete cascade,
            implied_id text not null references roles on delete cascade,
            primary key (prior_id, implied_id)
        )
        """,
        """
        create table role_assignments (
            user_id text not null references users on delete cascade,
            project_id text not null references projects on delete cascade,
            role_id text not null references roles on delete cascade,
            primary key (user_id, project_id, role_id)
        )
        """,
        "create index role_assignments_of_project on role_assignments (project_id)",
        "create index role_assignments_of_role on role_assignments (role_id)",
    ]

    private static let credentials = [
        """
        create table application_credentials (
            id text primary key,
            user_id text not null references users on delete cascade,
            project_id text not null references projects on delete cascade,
            name text not null,
            secret_hash text not null,
            role_ids text[] not null,
            description text not null,
            expires_at timestamptz,
            unrestricted boolean not null,
            unique (user_id, name)
        )
        """,
        "create index application_credentials_of_project on application_credentials (project_id)",
    ]

    private static let revocations = [
        """
        create table token_revocations (
            id bigint generated always as identity primary key,
            scope jsonb not null,
            issued_until timestamptz not null,
            expires_at timestamptz not null
        )
        """,
        "create index token_revocations_by_expiry on token_revocations (expires_at)",
    ]
}

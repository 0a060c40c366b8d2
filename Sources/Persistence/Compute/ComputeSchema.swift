package import PostgresClient

/// The compute API's own schema in the root database: flavors, key pairs, quotas, what users asked of servers. Append-only.
package enum ComputeSchema {
    package static let name = "api"

    package static let migrations: [Migration] = [
        Migration(
            number: 1, name: "flavors, key pairs, quotas, actions",
            statements: [
                """
                create table api.flavors (
                    id text primary key,
                    name text not null,
                    flavor jsonb not null,
                    projects text[] not null,
                    created_at timestamptz not null,
                    constraint flavors_name unique (name)
                )
                """,
                """
                create table api.key_pairs (
                    id bigint generated always as identity primary key,
                    user_id text not null,
                    name text not null,
                    kind text not null,
                    public_key text not null,
                    fingerprint text not null,
                    created_at timestamptz not null,
                    constraint key_pairs_name unique (user_id, name)
                )
                """,
                """
                create table api.quotas (
                    project_id text primary key,
                    quota jsonb not null
                )
                """,
                """
                create table api.instance_actions (
                    id bigint generated always as identity primary key,
                    server_id uuid not null,
                    record jsonb not null
                )
                """,
                "create index instance_actions_of_server on api.instance_actions (server_id, id desc)",
            ]),
        Migration(
            number: 2, name: "quotas of users and classes",
            statements: [
                """
                create table api.user_quotas (
                    project_id text not null,
                    user_id text not null,
                    limits jsonb not null,
                    primary key (project_id, user_id)
                )
                """,
                """
                create table api.quota_classes (
                    name text primary key,
                    limits jsonb not null
                )
                """,
            ]),
    ]
}

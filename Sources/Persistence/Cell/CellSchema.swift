package import PostgresClient

/// A leaf cell's own schemas: `cell` (servers, hosts, duties), `saga` (runs and their logs), `outbox` (events upward).
///
/// Append-only. Locks are taken in this order: servers by id, then sagas by id, then the rest; a server's row lock covers
/// its sagas, except their leases.
package enum CellSchema {
    package static let name = "cell"
    /// All that its statements name.
    package static let schemas: Set = [name, "saga", "outbox"]

    package static let migrations: [Migration] = [
        Migration(number: 1, name: "servers and hosts", statements: servers),
        Migration(number: 2, name: "sagas", statements: sagas),
        Migration(number: 3, name: "outbox and duties", statements: outbox),
        Migration(number: 4, name: "failed builds", statements: failedBuilds),
        Migration(number: 5, name: "parked sagas", statements: parkedSagas),
        Migration(number: 6, name: "busy servers", statements: busyServers),
        Migration(number: 7, name: "conductors' leases", statements: conductorLeases),
        Migration(number: 8, name: "\(Migration.breaks)documents as they were written", statements: writtenDocuments),
    ]

    /// A page of a list reads a hundred documents: as jsonb the server puts each together again, which takes it longer than
    /// finding it, and from some 2 KB on it would be compressed and in another table.
    private static let writtenDocuments = [
        "alter table cell.instances set (toast_tuple_target = 4096)",
        "alter table cell.instances alter column document type json using document::json",
    ]

    private static let conductorLeases = ["alter table cell.conductors add column until timestamptz"]

    private static let servers = [
        """
        create table cell.instances (
            id uuid primary key,
            project_id text not null,
            host text,
            vm_state text not null,
            task_state text,
            power_state integer not null,
            version bigint not null,
            epoch integer not null,
            is_deleted boolean not null,
            updated_at timestamptz not null,
            document jsonb not null,
            build jsonb not null
        )
        """,
        "create index instances_host on cell.instances (host) where not is_deleted",
        "create index instances_deleted on cell.instances (updated_at) where is_deleted",
        """
        create table cell.hosts (
            name text primary key,
            id uuid not null,
            availability_zone text not null,
            is_enabled boolean not null,
            disabled_reason text,
            is_up boolean not null,
            last_seen_at timestamptz not null,
            inventory jsonb not null,
            created_at timestamptz not null,
            updated_at timestamptz not null
        ) with (fillfactor = 70)
        """,
    ]

    private static let sagas = [
        "create schema saga",
        """
        create table saga.sagas (
            id uuid primary key,
            name text not null,
            version integer not null,
            instance_id uuid not null references cell.instances (id) on delete cascade,
            host text not null,
            epoch integer not null,
            state text not null,
            input jsonb not null,
            created_at timestamptz not null,
            ended_at timestamptz,
            message text,
            lease_owner text,
            lease_until timestamptz not null default '-infinity',
            lease_epoch integer not null default 0
        )
        """,
        "create index sagas_instance on saga.sagas (instance_id)",
        "create index sagas_live on saga.sagas (created_at, id) where state = 'live'",
        """
        create table saga.log (
            saga_id uuid not null references saga.sagas (id) on delete cascade,
            number integer not null,
            at timestamptz not null,
            entry jsonb not null,
            primary key (saga_id, number)
        )
        """,
        """
        create table cell.instance_actions (
            id bigint generated always as identity primary key,
            instance_id uuid not null references cell.instances (id) on delete cascade,
            action text not null,
            request_id text not null,
            idempotency_key text not null,
            user_id text not null,
            project_id text not null,
            started_at timestamptz not null,
            finished_at timestamptz,
            message text,
            saga_id uuid,
            unique (instance_id, idempotency_key)
        )
        """,
        "create index instance_actions_running on cell.instance_actions (saga_id) where finished_at is null",
    ]

    private static let failedBuilds = [
        "create index instances_failed on cell.instances (updated_at) where vm_state = 'error' and task_state is null"
    ]

    private static let parkedSagas = [
        "create index sagas_parked on saga.sagas (created_at, id) where state = 'parked'"
    ]

    private static let busyServers = [
        "create index instances_busy on cell.instances (updated_at) where task_state is not null and not is_deleted"
    ]

    static let outbox = [
        "create schema outbox",
        """
        create table outbox.events (
            id bigint generated always as identity primary key,
            sequence bigint unique,
            created_at timestamptz not null default now(),
            event jsonb not null
        )
        """,
        "create index events_unnumbered on outbox.events (id) where sequence is null",
        """
        create table outbox.position (
            is_only boolean primary key default true check (is_only),
            newest bigint not null default 0,
            published bigint not null default 0
        )
        """,
        "insert into outbox.position default values",
        """
        create table cell.duties (
            name text primary key,
            owner text not null,
            until timestamptz not null
        )
        """,
        """
        create table cell.conductors (
            name text primary key,
            seen_at timestamptz not null
        )
        """,
    ]
}

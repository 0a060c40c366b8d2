package import PostgresClient

/// The root database's own schemas: directory (cell mappings, hosts, servers), placement, build requests, outbox.
///
/// Append-only. Placement's counters (`inventories.used`) change only inside `placement.claim` and `placement.release`,
/// together with the allocations that they add up.
package enum RootSchema {
    package static let name = "root"

    package static let migrations: [Migration] = [
        Migration(number: 1, name: "directory", statements: directory),
        Migration(number: 2, name: "placement", statements: placement),
        Migration(number: 3, name: "build requests and outbox", statements: buildRequests),
        Migration(number: 4, name: "placement orders", statements: placementOrders),
        Migration(number: 5, name: "uses, gaps of the directory, its indexes", statements: completeness),
        Migration(number: 6, name: "changes of placement", statements: placementChanges),
        Migration(number: 7, name: "cells below branches", statements: cellsBelow),
        Migration(number: 8, name: "watch over the children", statements: watch),
        Migration(number: 9, name: "aggregates", statements: aggregates),
        Migration(number: 10, name: "server groups", statements: serverGroups),
        Migration(number: 11, name: "builds that wait", statements: buildsThatWait),
    ]

    /// When a waiting build is looked at again that was put off.
    private static let buildsThatWait = ["alter table scheduler.build_requests add column not_before timestamptz"]

    /// Which of a cell's supervisors watches the cells below: one row at most.
    static let watch = [
        """
        create table directory.watch (
            is_one boolean primary key check (is_one),
            owner text not null,
            until timestamptz not null
        )
        """
    ]

    static let directory = [
        "create schema directory",
        """
        create table directory.cells (
            path text primary key,
            bus jsonb not null,
            is_enabled boolean not null default true,
            last_sequence bigint not null default 0,
            health text not null default 'down',
            reason text,
            since timestamptz not null,
            heartbeat jsonb
        )
        """,
        """
        create table directory.hosts (
            name text primary key,
            id uuid not null unique,
            cell text not null references directory.cells (path) on delete cascade,
            availability_zone text not null,
            is_enabled boolean not null,
            is_up boolean not null,
            record jsonb not null
        )
        """,
        """
        create table directory.instances (
            id uuid primary key,
            version bigint not null,
            cell text,
            project_id text not null,
            user_id text not null,
            name text not null,
            hostname text not null,
            description text,
            status text not null,
            vm_state text not null,
            task_state text,
            power_state integer not null,
            host text,
            flavor_id text not null,
            image_id uuid,
            availability_zone text,
            key_name text,
            addresses text[] not null,
            tags text[] not null,
            is_locked boolean not null,
            reservation_id text not null,
            vcpus integer not null,
            memory_mib integer not null,
            created_at timestamptz not null,
            updated_at timestamptz not null,
            launched_at timestamptz,
            terminated_at timestamptz,
            deleted_at timestamptz
        )
        """,
        """
        create index instances_of_project on directory.instances (project_id, created_at desc, id desc)
            where deleted_at is null
        """,
        "create index instances_newest on directory.instances (created_at desc, id desc) where deleted_at is null",
        "create index instances_of_host on directory.instances (host) where deleted_at is null",
        "create index instances_changed on directory.instances (updated_at)",
    ]

    private static let placement = [
        "create schema placement",
        """
        create table placement.providers (
            id uuid primary key,
            name text not null unique,
            cell text not null references directory.cells (path) on delete cascade,
            generation bigint not null default 0
        )
        """,
        """
        create table placement.inventories (
            provider_id uuid not null references placement.providers (id) on delete cascade,
            class text not null,
            total bigint not null check (total >= 0),
            reserved bigint not null check (reserved >= 0),
            allocation_ratio double precision not null check (allocation_ratio > 0),
            used bigint not null default 0 check (used >= 0),
            primary key (provider_id, class)
        )
        """,
        """
        create table placement.allocations (
            consumer_id uuid not null,
            provider_id uuid not null references placement.providers (id),
            class text not null,
            amount bigint not null check (amount > 0),
            primary key (consumer_id, provider_id, class)
        )
        """,
        "create index allocations_of_provider on placement.allocations (provider_id)",
        """
        create function placement.claim(consumer uuid, provider uuid, classes text[], amounts bigint[])
        returns boolean language plpgsql as $$
        begin
            perform 1 from placement.providers p where p.id = provider for update;
            if not found then return false; end if;
            if exists (select 1 from placement.allocations a where a.consumer_id = consumer) then return false; end if;
            if exists (
                select 1 from unnest(classes, amounts) as wanted (class, amount)
                left join placement.inventories i on i.provider_id = provider and i.class = wanted.class
                where i.class is null
                   or i.used + wanted.amount > floor((i.total - i.reserved) * i.allocation_ratio)
            ) then return false; end if;
            update placement.inventories i set used = i.used + wanted.amount
                from unnest(classes, amounts) as wanted (class, amount)
                where i.provider_id = provider and i.class = wanted.class;
            insert into placement.allocations (consumer_id, provider_id, class, amount)
                select consumer, provider, wanted.class, wanted.amount
                from unnest(classes, amounts) as wanted (class, amount);
            update placement.providers p set generation = p.generation + 1 where p.id = provider;
            return true;
        end $$
        """,
        """
        create function placement.release(consumer uuid) returns void language plpgsql as $$
        begin
            perform 1 from placement.providers p
                where p.id in (select a.provider_id from placement.allocations a where a.consumer_id = consumer)
                order by p.id for update;
            with gone as (
                delete from placement.allocations a where a.consumer_id = consumer
                returning a.provider_id, a.class, a.amount
            ), freed as (
                update placement.inventories i set used = i.used - gone.amount from gone
                where i.provider_id = gone.provider_id and i.class = gone.class
                returning i.provider_id
            )
            update placement.providers p set generation = p.generation + 1
                where p.id in (select provider_id from freed);
        end $$
        """,
    ]

    private static let buildRequests = [
        "create schema scheduler",
        """
        create table scheduler.build_requests (
            instance_id uuid primary key references directory.instances (id) on delete cascade,
            state text not null check (state in ('waiting', 'placed', 'sent', 'failed')),
            build jsonb not null,
            forced_host text,
            wanted_zone text,
            excluded_hosts text[] not null default '{}',
            attempts integer not null default 0,
            cell text,
            host text,
            epoch integer not null default 0,
            placed_at timestamptz,
            created_at timestamptz not null
        )
        """,
        "create index build_requests_waiting on scheduler.build_requests (created_at) where state = 'waiting'",
        "create index build_requests_placed on scheduler.build_requests (placed_at) where state = 'placed'",
        "create schema outbox",
        """
        create table outbox.commands (
            id bigint generated always as identity primary key,
            cell text not null,
            instance_id uuid not null,
            action jsonb not null,
            request_id text not null,
            caller jsonb not null,
            due_at timestamptz not null,
            created_at timestamptz not null
        )
        """,
        "create index commands_due on outbox.commands (due_at)",
        "create index commands_of_instance on outbox.commands (instance_id)",
    ]

    /// A cell below a branch is known, but where it is only the branch knows.
    static let cellsBelow = ["alter table directory.cells alter column bus drop not null"]

    /// The operator's word on cells and hosts, and which hosts were chosen for a server.
    private static let placementOrders = [
        """
        alter table directory.cells
            add column placement text not null default 'enabled'
                check (placement in ('enabled', 'disabled', 'draining')),
            add column placement_reason text,
            add column placement_since timestamptz
        """,
        """
        alter table directory.hosts
            add column placement text not null default 'enabled'
                check (placement in ('enabled', 'disabled', 'draining')),
            add column placement_reason text,
            add column placement_since timestamptz
        """,
        """
        create table directory.placements (
            instance_id uuid not null references directory.instances (id) on delete cascade,
            epoch integer not null,
            cell text not null,
            host text not null,
            placed_at timestamptz not null,
            failure text,
            failed_at timestamptz,
            primary key (instance_id, epoch)
        )
        """,
        "create index instances_of_cell on directory.instances (cell) where deleted_at is null",
        "create index hosts_of_cell on directory.hosts (cell)",
        "create index providers_of_cell on placement.providers (cell)",
        "create index build_requests_of_cell on scheduler.build_requests (cell) where cell is not null",
    ]
}

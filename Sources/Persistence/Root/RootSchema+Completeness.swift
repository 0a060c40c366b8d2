import PostgresClient

extension RootSchema {
    /// What counts against quotas stands by itself (`quota.uses`, a row a server), and a directory that loses rows says so:
    /// `directory.gaps` names the cells whose rows are to be read again, written by triggers in the very transaction that
    /// took rows away. Nothing of ours deletes rows of `directory.instances` but a pruner, which sets `cellwright.prunes`.
    static let completeness = uses + gaps + unbound + gapTriggers + indexes

    private static let uses = [
        "create schema quota",
        """
        create table quota.uses (
            instance_id uuid primary key,
            project_id text not null,
            user_id text not null,
            vcpus integer not null,
            memory_mib integer not null
        )
        """,
        "create index uses_of_project on quota.uses (project_id) include (user_id, vcpus, memory_mib)",
        """
        insert into quota.uses (instance_id, project_id, user_id, vcpus, memory_mib)
        select id, project_id, user_id, vcpus, memory_mib from directory.instances where deleted_at is null
        """,
    ]

    static let gaps = [
        "create sequence directory.gap_numbers",
        """
        create table directory.gaps (
            cell text primary key,
            number bigint not null default nextval('directory.gap_numbers'),
            since timestamptz not null default now()
        )
        """,
        "alter table directory.cells add column resync_wanted boolean not null default false",
    ]

    private static let unbound = [
        // Build requests and placements outlive a row that got lost: the row is made from them again.
        "alter table scheduler.build_requests drop constraint build_requests_instance_id_fkey",
        "alter table directory.placements drop constraint placements_instance_id_fkey",
    ]

    static let gapTriggers = [
        """
        create function directory.note_gaps(paths text[]) returns void language sql as $$
            insert into directory.gaps (cell) select distinct p from unnest(paths) as p order by p
            on conflict (cell) do update set number = excluded.number, since = excluded.since;
            select pg_notify('cellwright_root', 'cells');
        $$
        """,
        """
        create function directory.note_deleted() returns trigger language plpgsql as $$
        begin
            if coalesce(current_setting('cellwright.prunes', true), '') <> 'on' and exists (select from gone) then
                perform directory.note_gaps(array(select distinct coalesce(g.cell, '/') from gone g));
            end if;
            return null;
        end $$
        """,
        """
        create function directory.note_truncated() returns trigger language plpgsql as $$
        begin
            perform directory.note_gaps(array(select c.path from directory.cells c union select '/'));
            return null;
        end $$
        """,
        """
        create trigger instances_deleted after delete on directory.instances referencing old table as gone
            for each statement execute function directory.note_deleted()
        """,
        """
        create trigger instances_truncated after truncate on directory.instances
            for each statement execute function directory.note_truncated()
        """,
    ]

    private static let indexes = [
        "create index instances_by_name on directory.instances (project_id, name, id) where deleted_at is null",
        "create index instances_by_status on directory.instances (status, created_at, id) where deleted_at is null",
        "create index instances_of_user on directory.instances (user_id, created_at, id) where deleted_at is null",
        "create index instances_of_flavor on directory.instances (flavor_id, created_at, id) where deleted_at is null",
        "create index instances_of_image on directory.instances (image_id, created_at, id) where deleted_at is null",
        "create index instances_tagged on directory.instances using gin (tags) where tags <> '{}'",
        "create index instances_deleted on directory.instances (created_at, id) where deleted_at is not null",
    ]
}

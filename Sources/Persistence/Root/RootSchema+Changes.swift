extension RootSchema {
    /// A scheduler keeps its picture of all hosts in memory and reads what changed since it last looked: providers hold
    /// the number of the transaction that last wrote them, or what of their hosts decides placements. Whoever writes
    /// inventories writes their provider in the same transaction.
    ///
    /// Transactions end in another order than they begin in, so a reader asks for everything since the oldest that was
    /// still running when it last looked (`pg_snapshot_xmin`), and misses none.
    static let placementChanges = [
        "alter table placement.providers add column changed_in bigint not null default 0",
        """
        create function placement.note_provider() returns trigger language plpgsql as $$
        begin
            new.changed_in := pg_current_xact_id()::text::bigint;
            return new;
        end $$
        """,
        """
        create trigger providers_changed before insert or update on placement.providers
            for each row execute function placement.note_provider()
        """,
        """
        create function placement.note_host() returns trigger language plpgsql as $$
        begin
            update placement.providers p set changed_in = 0
                where p.id = new.id and p.changed_in <> pg_current_xact_id()::text::bigint;
            return null;
        end $$
        """,
        """
        create trigger hosts_changed after update on directory.hosts for each row
            when ((old.id, old.cell, old.availability_zone, old.is_enabled, old.is_up, old.placement)
                is distinct from (new.id, new.cell, new.availability_zone, new.is_enabled, new.is_up, new.placement))
            execute function placement.note_host()
        """,
        "create index providers_by_change on placement.providers (changed_in)",
    ]
}

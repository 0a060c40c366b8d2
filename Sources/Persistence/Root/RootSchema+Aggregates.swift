extension RootSchema {
    /// Aggregates are rows; which of them a host is in stands with the host, as does the zone that they put it in, so
    /// that a scheduler reads both with what else it reads of a host that changed.
    static let aggregates = [
        """
        create table directory.aggregates (
            number bigint generated always as identity primary key,
            id uuid not null unique,
            name text not null constraint aggregates_name unique,
            metadata jsonb not null,
            created_at timestamptz not null,
            updated_at timestamptz,
            changed_in bigint not null default 0
        )
        """,
        """
        create trigger aggregates_changed before insert or update on directory.aggregates
            for each row execute function placement.note_provider()
        """,
        """
        alter table directory.hosts
            add column aggregates bigint[] not null default '{}',
            add column aggregate_zone text
        """,
        "create index hosts_of_aggregate on directory.hosts using gin (aggregates) where aggregates <> '{}'",
        """
        create trigger hosts_regrouped after update on directory.hosts for each row
            when ((old.aggregates, old.aggregate_zone) is distinct from (new.aggregates, new.aggregate_zone))
            execute function placement.note_host()
        """,
    ]
}

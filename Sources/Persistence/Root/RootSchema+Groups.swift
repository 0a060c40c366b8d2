extension RootSchema {
    /// A scheduler locks a group's row before it counts where the members are, and places the next one in the same
    /// transaction, so a policy holds under any number of them.
    static let serverGroups = [
        """
        create table scheduler.server_groups (
            id uuid primary key,
            project_id text not null,
            user_id text not null,
            name text not null,
            policy text not null,
            servers_per_host integer,
            created_at timestamptz not null
        )
        """,
        "create index server_groups_of_project on scheduler.server_groups (project_id, created_at, id)",
        """
        create table scheduler.group_members (
            instance_id uuid primary key,
            group_id uuid not null references scheduler.server_groups (id) on delete cascade,
            user_id text not null
        )
        """,
        "create index group_members_of_group on scheduler.group_members (group_id)",
    ]
}

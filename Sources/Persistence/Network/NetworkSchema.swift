package import PostgresClient

/// The network service's schema in the root database. Append-only.
///
/// What must hold under concurrency holds by constraint: one address once in a subnet, one MAC once in a network, one
/// default group a project. Addresses are numbers, so that the lowest free one is found by the index.
package enum NetworkSchema {
    package static let name = "network"

    package static let migrations: [Migration] = [
        Migration(number: 1, name: "networks", statements: networks),
        Migration(number: 2, name: "ports", statements: ports),
        Migration(number: 3, name: "security groups and quotas", statements: groups),
    ]

    private static let networks = [
        """
        create table network.networks (
            id uuid primary key,
            project_id text not null,
            name text not null,
            description text not null,
            is_shared boolean not null,
            is_admin_up boolean not null,
            mtu integer not null,
            created_at timestamptz not null,
            updated_at timestamptz not null,
            revision integer not null
        )
        """,
        "create index networks_of_project on network.networks (project_id)",
        """
        create table network.subnets (
            id uuid primary key,
            network_id uuid not null references network.networks (id) on delete cascade,
            project_id text not null,
            name text not null,
            description text not null,
            prefix text not null,
            gateway text,
            pools jsonb not null,
            name_servers text[] not null,
            is_dhcp_enabled boolean not null,
            created_at timestamptz not null,
            updated_at timestamptz not null,
            revision integer not null
        )
        """,
        "create index subnets_of_network on network.subnets (network_id)",
    ]

    private static let ports = [
        """
        create table network.ports (
            id uuid primary key,
            network_id uuid not null references network.networks (id),
            project_id text not null,
            name text not null,
            description text not null,
            mac_address text not null,
            device_id text not null,
            device_owner text not null,
            group_ids uuid[] not null,
            is_port_security_enabled boolean not null,
            is_admin_up boolean not null,
            dns_name text not null,
            is_owned_by_server boolean not null,
            created_at timestamptz not null,
            updated_at timestamptz not null,
            revision integer not null,
            constraint ports_mac unique (network_id, mac_address)
        )
        """,
        "create index ports_of_project on network.ports (project_id)",
        "create index ports_of_device on network.ports (device_id)",
        """
        create table network.addresses (
            subnet_id uuid not null references network.subnets (id),
            address bigint not null,
            port_id uuid not null references network.ports (id) on delete cascade,
            constraint addresses_taken primary key (subnet_id, address)
        )
        """,
        "create index addresses_of_port on network.addresses (port_id)",
    ]

    private static let groups = [
        """
        create table network.groups (
            id uuid primary key,
            project_id text not null,
            name text not null,
            description text not null,
            is_default boolean not null,
            created_at timestamptz not null,
            updated_at timestamptz not null,
            revision integer not null
        )
        """,
        "create unique index groups_default on network.groups (project_id) where is_default",
        "create index groups_of_project on network.groups (project_id)",
        """
        create table network.rules (
            id uuid primary key,
            group_id uuid not null references network.groups (id) on delete cascade,
            project_id text not null,
            direction text not null,
            ether_type text not null,
            ip_protocol text,
            port_minimum integer,
            port_maximum integer,
            remote_prefix text,
            remote_group_id uuid references network.groups (id) on delete cascade,
            description text not null,
            created_at timestamptz not null
        )
        """,
        "create index rules_of_group on network.rules (group_id)",
        """
        create table network.quotas (
            project_id text primary key,
            limits jsonb not null
        )
        """,
    ]
}

package import PostgresClient

/// The schema `image` in the root's database. Append-only.
package enum ImageSchema {
    package static let name = "image"

    package static let migrations: [Migration] = [
        Migration(
            number: 1, name: "images",
            statements: [
                """
                create table images (
                    id uuid primary key,
                    version bigint not null,
                    name text,
                    status text not null,
                    visibility text not null,
                    owner text,
                    disk_format text,
                    container_format text,
                    min_disk bigint not null,
                    min_ram bigint not null,
                    protected boolean not null,
                    hidden boolean not null,
                    tags text[] not null,
                    properties jsonb not null,
                    created_at timestamptz not null,
                    updated_at timestamptz not null,
                    size_bytes bigint,
                    content jsonb,
                    file text unique,
                    upload_id uuid,
                    lease_until timestamptz
                )
                """,
                "create index images_newest on images (created_at desc, id desc)",
                "create index images_of_owner on images (owner, created_at desc, id desc)",
                "create index images_by_name on images (name)",
                "create index images_being_saved on images (lease_until) where status = 'saving'",
            ])
    ]
}

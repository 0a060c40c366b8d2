package import PostgresClient

/// A branch cell's own schemas: `directory` (the cells below, their hosts and servers, as the root has them), `outbox`
/// (events upward, as a leaf has it), `cell.duties`.
///
/// Append-only. Its tables are the root's and a leaf's, made by the same statements.
package enum BranchSchema {
    package static let name = "branch"

    package static let migrations: [Migration] = [
        Migration(
            number: 1, name: "directory",
            statements: RootSchema.directory + RootSchema.gaps + RootSchema.gapTriggers + RootSchema.cellsBelow + routes
        ),
        Migration(number: 2, name: "outbox and duties", statements: outbox),
        Migration(number: 3, name: "watch over the children", statements: RootSchema.watch),
    ]

    /// In which leaf a child has taken a server of which nothing was heard yet, or which was tried elsewhere before.
    private static let routes = [
        """
        create table directory.routes (
            instance_id uuid primary key,
            cell text not null,
            noted_at timestamptz not null default now()
        )
        """,
        // Every server of a branch is in a cell below it: there are none of its own to be read again.
        """
        create or replace function directory.note_truncated() returns trigger language plpgsql as $$
        begin
            perform directory.note_gaps(array(select c.path from directory.cells c));
            return null;
        end $$
        """,
        "create index hosts_of_cell on directory.hosts (cell)",
        "create index instances_of_cell on directory.instances (cell) where deleted_at is null",
        "create index instances_ended on directory.instances (deleted_at) where deleted_at is not null",
    ]

    private static let outbox =
        ["create schema cell"] + CellSchema.outbox + ["alter table outbox.events add column origin text"]
}

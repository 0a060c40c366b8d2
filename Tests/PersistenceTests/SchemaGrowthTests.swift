import PostgresClient
import Persistence
import Testing

/// Releases N and N+1 use one database during an upgrade: migrations only add, or say that they do not.
@Suite("Growth of schemas") struct SchemaGrowthTests {
    private static let schemas = CellSchemas.all

    @Test("a migration only adds, or its name says that it breaks the release before")
    func migrationsOnlyAdd() {
        for (name, migrations) in Self.schemas {
            var tables: Set<String> = []
            for migration in migrations {
                let findings = SchemaGrowth.findings(in: migration, after: tables)
                tables.formUnion(SchemaGrowth.tables(of: migration))
                guard !migration.name.hasPrefix(Migration.breaks) else { continue }
                #expect(findings == [], "\(name)/\(migration.number) \(migration.name)")
            }
            #expect(!tables.isEmpty, "\(name) has tables")
        }
    }

    @Test(
        "what the release before can't live with is found",
        arguments: [
            ("drop table a.t", true), ("alter table a.t drop column c", true),
            ("alter table a.t rename column c to d", true), ("alter table a.t rename to u", true),
            ("alter table a.t alter column c type bigint", true), ("alter table a.t alter column c set not null", true),
            ("alter table a.t add column c text not null", true), ("truncate a.t", true), ("delete from a.t", true),
            ("alter table a.t add constraint x check (c > 0)", true), ("create unique index i on a.t (c)", true),
            ("drop schema a cascade", true), ("drop function a.f", true),
            ("alter table a.t\n    drop   column c", true),
            ("alter table a.t add column c text, add column d text not null", true),
            (
                "alter table a.t add column c text not null default 'enabled' check (c in ('a', 'b')), add column d int",
                false
            ),
            ("alter table a.t add column c text", false), ("create unique index i on a.new (c)", false),
            ("create table a.u (c text not null)", false), ("create index i on a.t (c)", false),
            ("alter table a.t drop constraint fk", false),
            ("alter table a.t alter column c drop not null", false), ("drop index a.i", false),
            ("insert into a.u select * from a.t", false),
        ])
    func breaksAreFound(_ statement: String, isBreaking: Bool) {
        let migration = Migration(number: 2, name: "x", statements: [statement])
        #expect(SchemaGrowth.findings(in: migration, after: ["a.t"]).isEmpty == !isBreaking)
    }

    /// `Tests/Golden/schemas.txt` has what was released: a line that is there stays.
    @Test("migrations are only added behind those that were released")
    func releasedMigrationsStay() throws {
        let now = Self.schemas.flatMap { name, migrations in
            migrations.map { "\(name)/\($0.number) \($0.checksum) \($0.name)" }
        }
        let released = try ReleasedSchemas.lines(adding: now)
        for (name, migrations) in Self.schemas {
            let old = released.filter { $0.hasPrefix("\(name)/") }
            #expect(old == now.filter { $0.hasPrefix("\(name)/") }.prefix(old.count).map { $0 })
            #expect(old.count == migrations.count, "UPDATE_GOLDEN=1 adds what is new")
        }
    }
}

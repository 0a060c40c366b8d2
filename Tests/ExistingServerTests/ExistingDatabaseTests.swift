import CloudModel
import FoundationEssentials
import PostgresClient
import Primitives
import TestSupport
import Testing
import Topology

@testable import Deployer

/// A cell's role and database on a real PostgreSQL that somebody else runs and others use, over TLS.
@Suite(.serialized, .timeLimit(.minutes(2)), .enabled(if: PrivatePostgres.isInstalled, "needs PostgreSQL"))
struct ExistingDatabaseTests {
    /// Who asks: a superuser, or one who may make roles and databases and no more.
    enum Administrator: String, CaseIterable, Sendable { case superuser, ordinary }

    private static let place: HostName = "127.0.0.1:1"
    private static let administratorPassword = Secret(#"s3cret' "quoted" \ $all"#)
    private static let password = Secret("the-roles-password")

    private struct Server {
        let script: PostgresScript
        let shell: LocalShell
        let pool: PostgresPool
        /// The cell's role and database.
        let name: String

        func facts(password: Secret = ExistingDatabaseTests.password, wanted: [String] = []) async throws
            -> DatabaseProbe
        {
            let output = try await shell.run(script.facts(settings: [], passwords: [name: password]))
            return DatabaseProbe(
                output: output, place: place, passwords: [name: password],
                ownership: Ownership(mark: Ownership.mark(cloud: "mine"), wanted: Set([name] + wanted)))
        }

        func make() async throws {
            try await shell.run(script.makeRole(name, password: password, salt: Array(1...16)))
            try await shell.run(script.makeDatabase(name, owner: name))
        }

        func role(_ probe: DatabaseProbe, _ name: String? = nil) -> ObservedFacts.Observation? {
            probe.observations[.init(.databaseRole, host: place, name: name ?? self.name)]
        }

        func database(_ probe: DatabaseProbe) -> ObservedFacts.Observation? {
            probe.observations[.init(.database, host: place, name: name)]
        }
    }

    private func server(_ administrator: Administrator) async throws -> Server {
        let postgres = try await PrivatePostgres.shared()
        let pool = PostgresPool(try await postgres.createDatabase())
        let user = "dba_\(administrator)"
        let rights = administrator == .superuser ? "superuser" : "createrole createdb"
        for statement in [
            "drop role if exists \(user)",
            "create role \(user) login \(rights) password \(PostgresScript.literal(Self.administratorPassword.reveal()))",
        ] { try await pool.execute(Statement(raw: statement).once) }
        let existing = Topology.ExistingServer(
            url: "postgresql://\(user)@127.0.0.1:\(postgres.port)/postgres", password: .environment("X"))
        let certificates = try FileSystem.text(try TestAuthority.shared().path)
        return Server(
            script: PostgresScript(
                existing, password: Self.administratorPassword, authority: .certificates(certificates),
                mark: Ownership.mark(cloud: "mine")),
            shell: try LocalShell(watching: "psql"), pool: pool, name: "cellwright_\(administrator)")
    }

    @Test(arguments: Administrator.allCases)
    func whatIsMadeIsFoundAndWhatIsRemovedIsGone(_ administrator: Administrator) async throws {
        let server = try await server(administrator)
        let before = try await server.facts()
        #expect(before.isComplete && before.version >= DatabaseProbe.oldest)
        #expect(server.role(before) == nil && server.database(before) == nil)
        for _ in 0..<2 {
            try await server.make()
            try await server.shell.run(server.script.noteMigration(server.name, by: "abc"))
            let found = try await server.facts()
            #expect(server.role(found) == .present(["login": "yes", "superuser": "no", "password": "current"]))
            #expect(server.database(found) == .present(["owner": server.name, "publicConnect": "no"]))
            #expect(found.migratedBy == [server.name: "abc"])
        }
        let content = try await server.shell.run(
            server.script.queries(CellContentProbe.query, databases: [server.name]))
        #expect(content.lines.last == "asked\t\(server.name)")
        try await server.shell.run(server.script.removeDatabase(server.name))
        try await server.shell.run(server.script.removeRole(server.name))
        let after = try await server.facts()
        #expect(after.isComplete && server.role(after) == nil && server.database(after) == nil)
        await server.pool.close()
    }

    @Test(arguments: Administrator.allCases)
    func anotherPasswordIsNoticedAndTheRightOneGivenBack(_ administrator: Administrator) async throws {
        let server = try await server(administrator)
        try await server.make()
        #expect(
            server.role(try await server.facts(password: Secret("other")))
                == .present(["login": "yes", "superuser": "no", "password": "other"]))
        for change in ["password 'changed'", "nologin"] {
            try await server.pool.execute(Statement(raw: "alter role \(server.name) \(change)").once)
            guard case .present(let attributes) = server.role(try await server.facts()) else {
                Issue.record("not found after \(change)")
                continue
            }
            #expect(attributes["password"] == "other" || attributes["login"] == "no")
            try await server.make()
            #expect(
                server.role(try await server.facts())
                    == .present(["login": "yes", "superuser": "no", "password": "current"]))
        }
        try await server.shell.run(server.script.removeDatabase(server.name))
        try await server.shell.run(server.script.removeRole(server.name))
        await server.pool.close()
    }

    @Test(arguments: Administrator.allCases)
    func whatOthersHaveIsLeftOutAndANameOfOursThatTheyHaveIsUnknown(_ administrator: Administrator) async throws {
        let server = try await server(administrator)
        let (other, unmarked) = ("cellwright_theirs_\(administrator)", "cellwright_unmarked_\(administrator)")
        for statement in [
            "create role \(other)", "comment on role \(other) is 'cellwright cloud theirs'", "create role \(unmarked)",
            "create database \(server.name)",
        ] { try await server.pool.execute(Statement(raw: statement).once) }
        let unwanted = try await server.facts()
        #expect(server.role(unwanted, other) == nil && server.role(unwanted, unmarked) == nil)
        guard case .unknown(let why) = server.database(unwanted) else {
            Issue.record("a database without a role of ours is taken for ours")
            return
        }
        #expect(why.contains("no role of this cloud"))
        let wanted = try await server.facts(wanted: [other, unmarked])
        guard case .unknown(let theirs) = server.role(wanted, other),
            case .unknown(let nobodys) = server.role(wanted, unmarked)
        else {
            Issue.record("roles of others are taken for ours")
            return
        }
        #expect(theirs.contains("\"cellwright cloud theirs\""))
        #expect(nobodys.contains("bears no mark"))
        for statement in ["drop database \(server.name)", "drop role \(other)", "drop role \(unmarked)"] {
            try await server.pool.execute(Statement(raw: statement).once)
        }
        await server.pool.close()
    }

    @Test func noPasswordIsAnArgumentAndNoFileIsLeft() async throws {
        let server = try await server(.ordinary)
        try await server.make()
        _ = try await server.facts()
        let arguments = try server.shell.arguments
        #expect(arguments.contains("postgresql://dba_ordinary@127.0.0.1"))
        #expect(!arguments.contains("s3cret") && !arguments.contains(Self.password.reveal()))
        #expect(try server.shell.leftovers == [])
        try await server.shell.run(server.script.removeDatabase(server.name))
        try await server.shell.run(server.script.removeRole(server.name))
        await server.pool.close()
    }

    @Test func aServerThatShowsACertificateOfAnotherAuthorityIsNotAsked() async throws {
        let server = try await server(.superuser)
        let postgres = try await PrivatePostgres.shared()
        let stranger = try TestAuthority()
        let script = PostgresScript(
            Topology.ExistingServer(
                url: "postgresql://dba_superuser@127.0.0.1:\(postgres.port)/postgres", password: .environment("X")),
            password: Self.administratorPassword, authority: .certificates(try FileSystem.text(stranger.path)),
            mark: "m")
        let result = try await server.shell.attempt(script.facts(settings: [], passwords: [:]))
        #expect(result.status != 0)
        #expect(result.standardError.contains("certificate verify failed"))
        await server.pool.close()
    }
}

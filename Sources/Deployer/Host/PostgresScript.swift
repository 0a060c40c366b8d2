import Crypto
import FoundationEssentials
import Primitives
import Topology

/// Asks and tells a PostgreSQL server as its administrator, by `psql` on a host.
///
/// Passwords go as SCRAM verifiers, so the server never sees one and none can get into its log.
struct PostgresScript: Sendable {
    /// Names of ours begin so; nothing else on a server is looked at or touched.
    static let prefix = "cellwright_"
    static let iterations = 4096

    private static let flags = "-XAtq -v ON_ERROR_STOP=1"

    /// The shell words that begin a `psql` call, and what comes before it.
    private let command: String
    private let preamble: String
    /// Where a role of ours logs in, as words of a `psql` call; `nil` for the server of this host.
    private let endpoint: String?
    /// Noted on roles, see ``Ownership``.
    private let mark: String?

    /// The server of this host's Debian packages, as the account `postgres` over the local socket.
    init(port: Int) {
        command = "runuser -u postgres -- psql -p \(port) -d postgres \(Self.flags)"
        preamble = ""
        endpoint = nil
        mark = nil
    }

    /// A server somewhere else, as its URL's user: a superuser, or one who may make databases and roles.
    init(_ server: Topology.ExistingServer, password: Secret, authority: ServerAuthority, mark: String) {
        command = "psql -d \(ShellQuoting.quoted(server.url)) \(Self.flags)"
        let place = server.endpoint(defaultPort: Topology.EmbeddedDatabase.defaultPort)
        endpoint = "-h \(ShellQuoting.quoted(place.host)) -p \(place.port)"
        self.mark = mark
        // An export of the shell's own: the password is in the environment of psql alone, which runs as root.
        preamble = """
            \(authority.preamble)
            if [ -n "$authority" ]; then export PGSSLMODE=verify-full PGSSLROOTCERT="$authority"; fi
            export PGPASSWORD=\(ShellQuoting.quoted(password.reveal())) PGCONNECT_TIMEOUT=10

            """
    }

    /// Prints a line for each role, database and setting that matters, fields parted by tabs. A line of ours begins with
    /// `version`, `tried`, `role`, `database`, `setting`; the last is `end`, so that a server that does not answer is told
    /// from an empty one.
    ///
    /// - Parameter passwords: of the roles that are wanted: where only a superuser could read what the server keeps of
    ///   them, each is tried.
    func facts(settings: [String], passwords: [String: Secret]) -> String {
        preamble + trials(passwords)
            + script(
                """
                select 'version', current_setting('server_version_num');
                \\if :super
                select 'role', rolname, rolcanlogin, rolsuper, coalesce(rolpassword, ''), \(Self.commentOfRole) from pg_authid
                  where starts_with(rolname, \(Self.literal(Self.prefix)));
                \\else
                select 'role', rolname, rolcanlogin, rolsuper, '', \(Self.commentOfRole) from pg_roles
                  where starts_with(rolname, \(Self.literal(Self.prefix)));
                \\endif
                select 'database', datname, pg_get_userbyid(datdba),
                  exists (select from aclexplode(coalesce(datacl, acldefault('d', datdba))) a
                    where a.grantee = 0 and a.privilege_type in ('CONNECT', 'TEMPORARY')),
                  replace(coalesce(shobj_description(oid, 'pg_database'), ''), E'\\n', ' ')
                  from pg_database where starts_with(datname, \(Self.literal(Self.prefix)));
                select 'pending', count(*) from pg_settings where pending_restart;
                \(settings.map { "select 'setting', \(Self.literal($0)), coalesce(current_setting(\(Self.literal($0)), true), '');" }
                .joined(separator: "\n"))
                select 'end';
                """)
    }

    private static let commentOfRole =
        "replace(replace(coalesce(shobj_description(oid, 'pg_authid'), ''), E'\\n', ' '), E'\\t', ' ')"

    /// Logs in as each role, where the administrator is no superuser: prints `tried`, the role, and `in` or what psql says.
    private func trials(_ passwords: [String: Secret]) -> String {
        guard let endpoint, !passwords.isEmpty else { return "" }
        let calls = passwords.sorted { $0.key < $1.key }.map { role, password in
            "  try_role \(ShellQuoting.quoted(role)) \(ShellQuoting.quoted(password.reveal()))"
        }
        return """
            cd /
            try_role() { # a function of the shell's own, so its arguments are on no command line
              if said=$(PGPASSWORD=$2 psql \(endpoint) -U "$1" -d "$1" -XAtqc 'select 1' 2>&1 </dev/null); then said=in; fi
              printf 'tried\\t%s\\t%s\\n' "$1" "${said//[[:space:]]/ }"
            }
            if [ "$(\(command) -c 'select rolsuper from pg_roles where rolname = current_user')" = f ]; then
            \(calls.joined(separator: "\n"))
            fi

            """
    }

    /// In one transaction, so that no role is ever there without its mark.
    func makeRole(_ name: String, password: Secret, salt: [UInt8]) -> String {
        let verifier = Self.literal(Self.verifier(password, salt: salt))
        let role = Self.identifier(name)
        let comment = mark.map { "comment on role \(role) is \(Self.literal($0));" } ?? ""
        return preamble
            + script(
                """
                begin;
                select 'create role \(role)' where not exists (select from pg_roles where rolname = \(Self.literal(name))) \\gexec
                \\if :super
                alter role \(role) login nosuperuser nocreatedb nocreaterole noreplication nobypassrls password \(verifier);
                \\else
                alter role \(role) login password \(verifier);
                grant \(role) to current_user; -- or it could not be given a database
                \\endif
                \(comment)
                commit;
                """)
    }

    func removeRole(_ name: String) -> String { preamble + script("drop role if exists \(Self.identifier(name));") }

    func makeDatabase(_ name: String, owner: String) -> String {
        let database = Self.identifier(name)
        let creation =
            "create database \(database) owner \(Self.identifier(owner)) template template0 encoding ''UTF8'' "
            + "locale ''C.UTF-8''"
        return preamble
            + script(
                """
                select '\(creation)' where not exists (select from pg_database where datname = \(Self.literal(name))) \\gexec
                alter database \(database) owner to \(Self.identifier(owner));
                revoke all on database \(database) from public;
                """)
    }

    /// Ends the connections to it, too: the processes that had them are gone or going.
    func removeDatabase(_ name: String) -> String {
        preamble + script("drop database if exists \(Self.identifier(name)) with (force);")
    }

    /// Notes on the database which build of ours last brought its schema up.
    func noteMigration(_ name: String, by digest: String) -> String {
        preamble + script("comment on database \(Self.identifier(name)) is \(Self.literal(Self.comment(digest)));")
    }

    /// Prints how many rows a table of a database has; nothing when there is no such database or table.
    func countRows(of table: String, inDatabase database: String) -> String {
        preamble
            + script(
                """
                select count(*) > 0 as made from pg_database where datname = \(Self.literal(database)) \\gset
                \\if :made
                \\c \(Self.identifier(database))
                select to_regclass(\(Self.literal(table))) is not null as made \\gset
                \\if :made
                select count(*) from \(table);
                \\endif
                \\endif
                """)
    }

    /// Rows of a query in each of these databases, one after the other.
    func queries(_ sql: String, databases: [String]) -> String {
        preamble + script(databases.map { "\\c \(Self.identifier($0))\n\(sql)" }.joined(separator: "\n"))
    }

    static func comment(_ digest: String) -> String { "cellwright schema by \(digest)" }

    static func migratedBy(_ comment: String) -> String? {
        let prefix = Self.comment("")
        return comment.hasPrefix(prefix) ? String(comment.dropFirst(prefix.count)) : nil
    }

    private func script(_ sql: String) -> String {
        """
        cd /
        \(command) -F "$(printf '\\t')" -f - <<'CELLWRIGHT'
        select rolsuper as super from pg_roles where rolname = current_user \\gset
        \(sql)
        CELLWRIGHT
        """
    }

    static func identifier(_ name: String) -> String {
        "\"" + name.split(separator: "\"", omittingEmptySubsequences: false).joined(separator: "\"\"") + "\""
    }

    static func literal(_ text: String) -> String {
        "'" + text.split(separator: "'", omittingEmptySubsequences: false).joined(separator: "''") + "'"
    }
}

extension PostgresScript {
    /// What PostgreSQL keeps of a password: `SCRAM-SHA-256$<iterations>:<salt>$<StoredKey>:<ServerKey>`.
    static func verifier(_ password: Secret, salt: [UInt8], iterations: Int = iterations) -> String {
        let salted = saltedPassword(password, salt: salt, iterations: iterations)
        let clientKey = HMAC<SHA256>.authenticationCode(for: Data("Client Key".utf8), using: salted)
        let storedKey = SHA256.hash(data: Data(clientKey))
        let serverKey = HMAC<SHA256>.authenticationCode(for: Data("Server Key".utf8), using: salted)
        return "SCRAM-SHA-256$\(iterations):\(Data(salt).base64EncodedString())$"
            + "\(Data(storedKey).base64EncodedString()):\(Data(serverKey).base64EncodedString())"
    }

    /// Whether the server's verifier is of this password.
    static func isVerifier(_ verifier: String, of password: Secret) -> Bool {
        let parts = verifier.split(separator: "$")
        guard parts.count == 3, parts[0] == "SCRAM-SHA-256" else { return false }
        let cost = parts[1].split(separator: ":")
        guard cost.count == 2, let iterations = Int(cost[0]), (1...1_000_000).contains(iterations),
            let salt = Data(base64Encoded: String(cost[1]))
        else { return false }
        return Self.verifier(password, salt: Array(salt), iterations: iterations) == verifier
    }

    /// RFC 5802's Hi(): PBKDF2 with HMAC-SHA-256, one block.
    private static func saltedPassword(_ password: Secret, salt: [UInt8], iterations: Int) -> SymmetricKey {
        let key = SymmetricKey(data: Data(password.reveal().utf8))
        var block = Array(HMAC<SHA256>.authenticationCode(for: Data(salt) + [0, 0, 0, 1], using: key))
        var result = block
        for _ in 1..<iterations {
            block = Array(HMAC<SHA256>.authenticationCode(for: block, using: key))
            for index in result.indices { result[index] ^= block[index] }
        }
        return SymmetricKey(data: result)
    }
}

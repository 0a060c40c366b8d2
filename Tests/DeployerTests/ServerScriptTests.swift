import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import SystemPackage
import Testing
import Topology

@testable import Deployer

@Suite struct ServerScriptTests {
    private let password = Secret("s3cret'pass")

    @Test func aVerifierIsOfItsOwnPasswordOnly() {
        // RFC 7677's example: user "user", password "pencil".
        let salt = Array(Data(base64Encoded: "W22ZaJ0SNY7soEsUEjb6gQ==") ?? Data())
        let verifier = PostgresScript.verifier(Secret("pencil"), salt: salt)
        #expect(
            verifier
                == "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
                + "wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU=")
        #expect(PostgresScript.isVerifier(verifier, of: Secret("pencil")))
        #expect(!PostgresScript.isVerifier(verifier, of: Secret("pen")))
        #expect(!PostgresScript.isVerifier("md5abc", of: Secret("pencil")))
    }

    @Test func aRolesPasswordReachesTheServerOnlyAsAVerifier() {
        let script = PostgresScript(port: 5432).makeRole("cellwright_north", password: password, salt: [1, 2, 3])
        #expect(!script.contains("s3cret"))
        #expect(script.contains("SCRAM-SHA-256$4096:"))
        #expect(script.contains("runuser -u postgres -- psql"))
    }

    @Test func namesAreQuotedForTheDatabase() {
        #expect(PostgresScript.identifier(#"a"b"#) == #""a""b""#)
        #expect(PostgresScript.literal("it's") == "'it''s'")
    }

    @Test func theMigratingBuildIsFoundAgainInTheComment() {
        #expect(PostgresScript.migratedBy(PostgresScript.comment("abc")) == "abc")
        #expect(PostgresScript.migratedBy("something else") == nil)
    }

    @Test func theBrokersPasswordIsNoArgumentOfAnyCommand() async throws {
        // A curl that prints its arguments and the configuration file it was given.
        let folder = try TemporaryFolder()
        try PrivateFile.write(
            """
            #!/bin/bash
            echo "arguments: $*" >> \(folder.path)/seen
            while [ $# -gt 0 ]; do case $1 in
              --config) cat "$2" >> \(folder.path)/config;; --output) printf '[]' > "$2";; esac; shift; done
            printf 200

            """, to: "\(folder.path)/curl", mode: [.ownerReadWriteExecute])
        let script = BrokerScript(url: "http://127.0.0.1:15672", user: "cellwright", password: password)
        let whole = SSHConnection.wrapped(
            script.facts() + "\n" + (try script.perform([BrokerAdministration.createVHost("cellwright_north")])))
        var bash = LocalCommand("bash", ["-s"], environment: ["PATH": "\(folder.path):/usr/bin:/bin"])
        bash.input = Data(whole.utf8)
        let result = try await bash.run()
        #expect(result.status == 0, "\(result.standardError)")
        #expect(result.standardOutput.lines.first == "vhosts\t[]")
        let seen = try FileSystem.text("\(folder.path)/seen")
        #expect(seen.contains("http://127.0.0.1:15672/api/vhosts/cellwright_north"))
        #expect(!seen.contains("s3cret"))
        #expect(try FileSystem.text("\(folder.path)/config").contains("user = \"cellwright:s3cret'pass\""))
    }

    @Test func aBrokersUsersAreReadWithWhatTheyMay() throws {
        let hash =
            BrokerAdministration.createUser("x", password: .init(Secret("right"), salt: 7))
            .body?["password_hash"]?.string ?? ""
        let output = """
            vhosts\t[{"name":"/"},{"name":"cellwright_north"}]
            users\t[{"name":"cellwright","password_hash":"x","tags":["administrator"]},\
            {"name":"guest","password_hash":"y","tags":"administrator"},\
            {"name":"host.n1","password_hash":"\(hash)","tags":[]},{"name":"stranger","password_hash":"z","tags":""}]
            permissions\t[{"user":"host.n1","vhost":"cellwright_north","configure":"^$","write":"w","read":"r"},\
            {"user":"stranger","vhost":"/","configure":".*","write":".*","read":".*"}]
            topic-permissions\t[{"user":"host.n1","vhost":"cellwright_north","exchange":"reports","write":"k","read":"^$"}]
            queues\t[{"name":"host.n1","vhost":"cellwright_north"},{"name":"other","vhost":"/"}]

            """
        let probe = try BrokerProbe(
            output: output, place: "c1", passwords: ["host.n1": Secret("right")], administrator: "cellwright")
        #expect(
            probe.observations == [
                .init(.brokerVhost, host: "c1", name: "cellwright_north"): .present([:]),
                .init(.brokerUser, host: "c1", name: "cellwright"):
                    .present(["password": "current", "tags": "administrator"]),
                .init(.brokerUser, host: "c1", name: "host.n1"): .present(["password": "current", "tags": ""]),
                .init(.brokerPermissions, host: "c1", name: "host.n1"): .present([
                    "configure": "^$", "write": "w", "read": "r", "topics": "reports k ^$", "vhost": "cellwright_north",
                ]),
            ])
        #expect(probe.queues == [.init(vhost: "cellwright_north", name: "host.n1")])
        #expect(throws: BrokerProbe.Failure.down) {
            try BrokerProbe(output: "down\n", place: "c1", passwords: [:], administrator: "cellwright")
        }
    }

    @Test func aDatabaseServersAnswerIsReadOnlyWhole() {
        let output = """
            role\tcellwright_north\tt\tf\tSCRAM-SHA-256$4096:AQID$x:y\t
            database\tcellwright_north\tcellwright_north\tf\tcellwright schema by abc
            pending\t0
            setting\tcellwright.inputs\t123

            """
        let whole = DatabaseProbe(output: output + "end\n", place: "c1", passwords: [:])
        #expect(whole.isComplete)
        #expect(whole.unitAttributes == ["pendingRestart": "no", "inputs": "123"])
        #expect(whole.migratedBy == ["cellwright_north": "abc"])
        #expect(
            whole.observations[.init(.database, host: "c1", name: "cellwright_north")]
                == .present(["owner": "cellwright_north", "publicConnect": "no"]))
        #expect(!DatabaseProbe(output: output, place: "c1", passwords: [:]).isComplete)
    }
}

import FoundationEssentials
import MessageBus
import Primitives
import Testing

@Suite struct BrokerAdministrationTests {
    private let password = Secret("test12")

    /// The example of the broker's own documentation: password "test12", salt 908D C60A.
    @Test func passwordHashIsTheBrokers() throws {
        let hash = BrokerAdministration.PasswordHash(password, salt: 0x908D_C60A)
        let request = BrokerAdministration.createUser("u", password: hash)
        #expect(
            request.body?["password_hash"]?.string == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR")
        #expect(request.body?["hashing_algorithm"]?.string == "rabbit_password_hashing_sha256")
        #expect("\(hash) \(request)" == "<redacted> PUT users/u")
    }

    @Test func namesAreEncodedInPaths() {
        #expect(BrokerAdministration.createVHost("/eu/eu-1").path == "vhosts/%2Feu%2Feu-1")
        #expect(BrokerAdministration.deleteUser("host.a b").path == "users/host.a%20b")
    }

    @Test func aHostMayReadItsQueueAndReportUnderItsKey() {
        let permissions = CellPermissions.host("n-1.north")
        #expect(permissions.configure == "^$")
        #expect(permissions.write == "^reports$")
        #expect(permissions.read == #"^host\.n\-1_north$"#)
        #expect(permissions.topics.map(\.write) == [#"^host\.n\-1_north\..*"#])
        #expect(permissions.topics.map(\.exchange) == ["reports"])
    }

    @Test func aCellComesBeforeItsUsersAndTopicsBeforeWhatTheyNarrow() {
        let hash = BrokerAdministration.PasswordHash(password, salt: 1)
        let requests = BrokerAdministration.cell(
            vhost: "/north",
            users: [
                .init(name: "cell", password: hash, permissions: .controlPlane),
                .init(name: "host.n1", password: hash, permissions: .host("n1")),
            ])
        #expect(
            requests.map(\.description) == [
                "PUT vhosts/%2Fnorth", "PUT users/cell", "DELETE topic-permissions/%2Fnorth/cell",
                "PUT permissions/%2Fnorth/cell", "PUT users/host.n1", "DELETE topic-permissions/%2Fnorth/host.n1",
                "PUT topic-permissions/%2Fnorth/host.n1", "PUT permissions/%2Fnorth/host.n1",
            ])
    }

    @Test func bodiesAreStableJSON() throws {
        let request = BrokerAdministration.grant(.parent, to: "parent", vhost: "v").last
        let data = try #require(try request?.bodyData())
        #expect(
            String(decoding: data, as: UTF8.self)
                == #"{"configure":"^$","read":"^parent$","write":"^amq\\.default$"}"#)
    }
}

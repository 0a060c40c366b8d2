import FoundationEssentials
import Primitives
import Testing
import Topology

@testable import Deployer

@Suite struct SecretTests {
    @Test func aSecretIsMadeOnceAndKeptPrivate() throws {
        let folder = try TemporaryFolder()
        let store = SecretStore(folder: "\(folder.path)/secrets")
        #expect(try store.existing(.tokenKey) == nil)
        let value = try store.value(.tokenKey)
        #expect(value.reveal().utf8.count == 43)
        #expect(value.reveal().allSatisfy { $0.isLetter || $0.isNumber || $0 == "-" || $0 == "_" })
        #expect(try store.value(.tokenKey) == value)
        #expect(try SecretStore(folder: "\(folder.path)/secrets").existing(.tokenKey) == value)
        #expect(try modeOf("\(folder.path)/secrets") == 0o700)
        #expect(try modeOf("\(folder.path)/secrets/token-key") == 0o600)
        #expect(try store.value(.user("admin")) != value)
    }

    @Test func aPasswordOfSomebodyElsesIsReadWhereItIs() throws {
        let folder = try TemporaryFolder()
        try PrivateFile.write("first\nsecond\n", to: "\(folder.path)/password")
        let read = { (source: Topology.PasswordSource) in
            try SecretStore.read(source, relativeTo: folder.path, environment: ["DB": "fromenv"])
        }
        #expect(try read(.file("password")) == Secret("first"))
        #expect(try read(.environment("DB")) == Secret("fromenv"))
        #expect(try read(.generated) == nil)
        #expect(throws: SecretFailure.self) { try read(.environment("MISSING")) }
    }

    @Test func clientsFindTheCloud() {
        let text = CloudsFile.text(
            [.init(cloud: "cellwright", user: "demo", project: "demo", password: Secret(#"a"b"#))],
            url: "http://10.77.0.11:8774", region: "RegionOne")
        #expect(text.contains("  \"cellwright\":\n    auth:\n      auth_url: \"http://10.77.0.11:8774/identity/v3\"\n"))
        #expect(text.contains(#"password: "a\"b""#))
    }

    @Test func whatIsSecretGoesToCurlInItsSettingsWithEveryCharacterKept() async throws {
        let settings = CloudClient.settings(
            .post, url: "file:///dev/null", token: Secret("t0ken"),
            lines: [
                "data-binary = \(CloudClient.quoted("{\"a\":\"x\\\\y\n\"}"))"
            ])
        #expect(settings.contains("header = \"x-auth-token: t0ken\""))
        #expect(settings.contains(#"data-binary = "{\"a\":\"x\\\\y\n\"}""#))
    }

    @Test func executablesAreShippedStrippedAndOnlyPreparedOnce() async throws {
        let folder = try TemporaryFolder()
        let source = "\(folder.path)/bin"
        try FileSystem.makeFolder(source)
        try await LocalCommand("cp", ["/bin/true", "\(source)/cellwright-api"]).check()
        let cache = BinaryCache(folder: "\(folder.path)/cache", source: source)
        let first = try await cache.binary("cellwright-api")
        let unpacked = try await LocalCommand("sh", ["-c", "gzip -dc \(first.compressed) | sha256sum"]).check()
        #expect(unpacked.hasPrefix(first.digest))
        #expect(try await cache.binary("cellwright-api") == first)
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/cache").count == 2)
        await #expect(throws: LabFailure.self) { try await cache.binary("cellwright-none") }
    }

    private func modeOf(_ path: String) throws -> Int {
        try #require(try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? Int)
    }
}

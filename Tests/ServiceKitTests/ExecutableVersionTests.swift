import FoundationEssentials
import Testing

@testable import ServiceKit

@Suite struct ExecutableVersionTests {
    @Test func aVersionEndsWithTheFirstDigitsOfTheExecutablesDigest() throws {
        let path = FileManager.default.temporaryDirectory.path() + "/version-\(UUID().uuidString)"
        defer {
            do { try FileManager.default.removeItem(atPath: path) } catch { Issue.record(error) }
        }
        // More than one read.
        try Data(repeating: 0x61, count: 1_500_000).write(to: URL(filePath: path))
        let digest = try #require(ExecutableVersion.sha256(ofFile: path))
        #expect(digest == "f30207a92765493dcdd80a5a2b541b3f67073c413676ab523b30c4feb12fac90")
        #expect(ExecutableVersion.text(digest: digest) == "0.1.0+\(digest.prefix(12))")
    }

    @Test func aProcessTellsTheFileThatItWasStartedFrom() throws {
        let own = try #require(ExecutableVersion.sha256(ofFile: "/proc/self/exe"))
        #expect(ExecutableVersion.current() == "0.1.0+\(own.prefix(12))")
        #expect(ExecutableVersion.sha256(ofFile: "/nowhere") == nil)
    }
}

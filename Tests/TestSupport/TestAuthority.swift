import Deployer
import FoundationEssentials
import Glibc
import SystemPackage
package import Primitives

/// A certificate authority for tests, made with the deploy tool's own code, in a folder that goes with this process.
package final class TestAuthority: Sendable {
    /// What certificates of servers on this machine are for. Not for `localhost`, which is a wrong name therefore.
    package static let serverAddresses = ["127.0.0.1"]

    private static let instance = Result { try TestAuthority() }

    package static func shared() throws -> TestAuthority { try instance.get() }

    /// Path of the authority's certificate.
    package let path: String
    private let folder: String
    private let authority: CertificateAuthority

    package init() throws {
        var template = Array("/tmp/test-authority-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw PrivatePostgres.Failure(description: "no temporary folder: errno \(errno)")
        }
        folder = String(cString: made)
        // Servers under other accounts read what is in it, as far as its own mode allows.
        chmod(folder, 0o711)
        authority = try CertificateAuthority(cloud: "test", material: .system, now: SystemWallClock().now())
        path = "\(folder)/authority.pem"
        try PrivateFile.write(
            try authority.certificatePEM(), to: path, mode: [.ownerReadWrite, .groupRead, .otherRead])
    }

    deinit { removeFolder() }

    /// A certificate with its key. `age` in days: one that is older than `days` has expired.
    package func certificate(
        _ commonName: String, addresses: [String] = [], days: Int = 10, age: Int = 0
    ) throws -> Secret {
        try authority.issue(
            to: .init(commonName: commonName, addresses: addresses), days: days, material: .system,
            now: SystemWallClock().now() - TimeInterval(age) * 86_400)
    }

    /// The same in a file.
    package func file(_ commonName: String, addresses: [String] = [], days: Int = 10, age: Int = 0) throws -> String {
        let path = "\(folder)/\(commonName).pem"
        try PrivateFile.write(
            try certificate(commonName, addresses: addresses, days: days, age: age).reveal(), to: path)
        return path
    }

    private func removeFolder() {
        do { try FileManager.default.removeItem(atPath: folder) } catch {
            // Already gone.
        }
    }
}

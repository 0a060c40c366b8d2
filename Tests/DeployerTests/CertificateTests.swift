import CloudModel
import Crypto
import FoundationEssentials
import Primitives
import SwiftASN1
import Synchronization
import Testing
import Topology
@_spi(FixedExpiryValidationTime) import X509

@testable import Deployer

/// What the cloud's authority issues, checked with the verifier that clients could use.
@Suite struct CertificateTests {
    private let now = Date(timeIntervalSince1970: 1_800_000_000)
    private let day: TimeInterval = 86_400
    private let material = Self.counting()
    private let subject = CertificateAuthority.Subject(
        commonName: "cellwright_north", addresses: ["control-1", "10.77.0.11", "localhost"])

    /// Serial numbers 1, 2, 3, ...
    private static func counting() -> CertificateAuthority.Material {
        let next = Counter()
        return .init(
            key: { P256.Signing.PrivateKey() },
            serial: { Array(repeating: 0, count: CertificateAuthority.serialBytes - 1) + [next.take()] })
    }

    private final class Counter: Sendable {
        private let value = Mutex<UInt8>(0)
        func take() -> UInt8 {
            value.withLock { value in
                value += 1
                return value
            }
        }
    }

    private func verify(
        _ issued: IssuedCertificate, trusting authority: CertificateAuthority, host: String?, address: String?,
        at time: Date
    ) async throws -> Bool {
        let root = try Certificate(pemEncoded: try authority.certificatePEM())
        var verifier = Verifier(rootCertificates: X509.CertificateStore([root])) {
            RFC5280Policy(fixedExpiryValidationTime: time)
            ServerIdentityPolicy(serverHostname: host, serverIP: address)
        }
        switch await verifier.validate(leaf: issued.certificate, intermediates: X509.CertificateStore()) {
        case .validCertificate: return true
        case .couldNotValidate: return false
        }
    }

    @Test func aCertificateIsGoodForItsNamesUnderItsAuthorityAndWithinItsTime() async throws {
        let authority = try CertificateAuthority(cloud: "sample", material: material, now: now)
        let issued = try IssuedCertificate(
            pem: try authority.issue(to: subject, days: 30, material: material, now: now))
        #expect(try await verify(issued, trusting: authority, host: "control-1", address: nil, at: now))
        #expect(try await verify(issued, trusting: authority, host: nil, address: "10.77.0.11", at: now))
        #expect(try await verify(issued, trusting: authority, host: "control-1", address: nil, at: now + 29 * day))

        #expect(try await !verify(issued, trusting: authority, host: "control-2", address: nil, at: now))
        #expect(try await !verify(issued, trusting: authority, host: nil, address: "10.77.0.12", at: now))
        #expect(try await !verify(issued, trusting: authority, host: "control-1", address: nil, at: now + 31 * day))
        #expect(try await !verify(issued, trusting: authority, host: "control-1", address: nil, at: now - day))
        let other = try CertificateAuthority(cloud: "sample", material: material, now: now)
        #expect(try await !verify(issued, trusting: other, host: "control-1", address: nil, at: now))
    }

    @Test func noTwoCertificatesHaveOneSerialNumberOrKey() throws {
        let authority = try CertificateAuthority(cloud: "sample", material: material, now: now)
        let pems = try (0..<3).map { _ in try authority.issue(to: subject, days: 1, material: material, now: now) }
        let issued = try pems.map { try IssuedCertificate(pem: $0).certificate }
        #expect(Set(issued.map(\.serialNumber)).count == 3)
        #expect(Set(issued.map(\.publicKey)).count == 3)
        #expect(issued.allSatisfy { $0.issuer == authority.subject && $0.subject != authority.subject })
    }

    @Test func aCertificateComesWithTheKeyThatFitsIt() throws {
        let authority = try CertificateAuthority(cloud: "sample", material: material, now: now)
        let pem = try authority.issue(to: subject, days: 1, material: material, now: now)
        let parts = try PEMDocument.parseMultiple(pemString: pem.reveal())
        #expect(parts.map(\.discriminator) == ["CERTIFICATE", "PRIVATE KEY"])
        let key = try P256.Signing.PrivateKey(pemRepresentation: try #require(parts.last).pemString)
        #expect(try IssuedCertificate(pem: pem).certificate.publicKey == Certificate.PublicKey(key.publicKey))
        #expect("\(pem)" == "<redacted>")
    }

    @Test func noneOutlivesItsAuthority() throws {
        let authority = try CertificateAuthority(cloud: "sample", material: material, now: now)
        let late = now + TimeInterval(CertificateAuthority.validDays - 10) * day
        let issued = try IssuedCertificate(
            pem: try authority.issue(to: subject, days: 365, material: material, now: late))
        #expect(issued.end == authority.end)
        #expect(issued.daysLeft(at: late) == 10)
    }

    // MARK: The store

    private func wanted(_ names: [String] = ["control-1", "10.77.0.11"]) -> ProcessLayout.Certificate {
        .init(
            name: .certificate("api", "control-1"), host: "control-1", path: "/etc/cellwright/tls/api.pem",
            owner: "cellwright", commonName: "cellwright_root", addresses: names)
    }

    private func store(_ folder: TemporaryFolder, at time: Date, renewDays: Int = 30) -> Deployer.CertificateStore {
        .init(
            secrets: SecretStore(folder: "\(folder.path)/secrets"), cloud: "sample",
            settings: .init(validDays: 365, renewDays: renewDays), material: material, now: time)
    }

    @Test func aCertificateIsMadeOnceAndRenewedWhenItsEndIsNear() throws {
        let folder = try TemporaryFolder()
        let name = wanted().name
        let secrets = SecretStore(folder: "\(folder.path)/secrets")
        #expect(try store(folder, at: now).states(of: [wanted()]) == [name: .missing])
        #expect(try secrets.existing(.authority) == nil)

        try store(folder, at: now).complete([wanted()])
        let first = try #require(try secrets.existing(name))
        let authority = try #require(try secrets.existing(.authority))
        #expect(try store(folder, at: now).states(of: [wanted()]) == [name: .good])
        try store(folder, at: now + 300 * day).complete([wanted()])
        #expect(try secrets.existing(name) == first)

        #expect(try store(folder, at: now + 336 * day).states(of: [wanted()]) == [name: .ending(29)])
        try store(folder, at: now + 336 * day).complete([wanted()])
        #expect(try secrets.existing(name) != first)
        #expect(try secrets.existing(.authority) == authority)
        #expect(try store(folder, at: now + 336 * day).states(of: [wanted()]) == [name: .good])
    }

    @Test func aCertificateForOtherNamesIsMadeAnew() throws {
        let folder = try TemporaryFolder()
        try store(folder, at: now).complete([wanted()])
        let moved = wanted(["control-1", "10.77.0.99"])
        #expect(try store(folder, at: now).states(of: [moved]) == [moved.name: .other])
        try store(folder, at: now).complete([moved])
        #expect(try store(folder, at: now).states(of: [moved]) == [moved.name: .good])
    }

    @Test func filesOfTheAuthorityArePrivate() throws {
        let folder = try TemporaryFolder()
        try store(folder, at: now).complete([wanted()])
        for name in [SecretName.authorityKey, .authority, wanted().name] {
            let attributes = try FileManager.default.attributesOfItem(atPath: "\(folder.path)/secrets/\(name)")
            #expect(attributes[.posixPermissions] as? Int == 0o600)
        }
    }

    @Test func clientsAreToldTheAuthority() {
        let text = CloudsFile.text(
            [.init(cloud: "cellwright", user: "demo", project: "demo", password: Secret("p"))],
            url: "https://10.77.0.11:8774", region: "RegionOne", authority: "/x/.cellwright/secrets/authority")
        #expect(text.hasSuffix("    cacert: \"/x/.cellwright/secrets/authority\"\n"))
    }
}

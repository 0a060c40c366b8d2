package import Crypto
package import FoundationEssentials
package import Primitives
import SwiftASN1
import Topology
import X509

/// The cloud's own certificate authority: makes the certificates by which processes and servers know each other.
///
/// Pure: keys, serial numbers and the time come from outside. ECDSA with P-256 and SHA-256 throughout.
package struct CertificateAuthority: Sendable {
    /// How long the authority itself lasts: ten years.
    package static let validDays = 3652
    /// Clocks of hosts may be so far behind: certificates begin earlier by this.
    static let clockSkewSeconds: TimeInterval = 3600
    static let secondsPerDay: TimeInterval = 86_400
    /// Bytes of a serial number.
    static let serialBytes = 16

    /// What is random about a certificate.
    package struct Material: Sendable {
        package var key: @Sendable () -> P256.Signing.PrivateKey
        /// ``CertificateAuthority/serialBytes`` bytes.
        package var serial: @Sendable () -> [UInt8]

        package init(
            key: @escaping @Sendable () -> P256.Signing.PrivateKey, serial: @escaping @Sendable () -> [UInt8]
        ) {
            self.key = key
            self.serial = serial
        }

        package static let system = Material(
            key: { P256.Signing.PrivateKey() },
            serial: { SymmetricKey(size: .init(bitCount: serialBytes * 8)).withUnsafeBytes { Array($0) } })
    }

    /// Who a certificate is for.
    package struct Subject: Sendable, Hashable {
        package var commonName: String
        /// DNS names and IP addresses.
        package var addresses: [String]

        package init(commonName: String, addresses: [String]) {
            self.commonName = commonName
            self.addresses = addresses
        }
    }

    private let certificate: Certificate
    private let key: P256.Signing.PrivateKey

    /// A new authority.
    package init(cloud: String, material: Material, now: Date) throws {
        let key = material.key()
        let name = try DistinguishedName { CommonName("Cellwright authority of \(cloud)") }
        let publicKey = Certificate.PublicKey(key.publicKey)
        certificate = try Certificate(
            version: .v3, serialNumber: Self.serialNumber(material), publicKey: publicKey,
            notValidBefore: now - Self.clockSkewSeconds,
            notValidAfter: now + TimeInterval(Self.validDays) * Self.secondsPerDay, issuer: name, subject: name,
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.isCertificateAuthority(maxPathLength: 0))
                Critical(KeyUsage(keyCertSign: true, cRLSign: true))
                SubjectKeyIdentifier(hash: publicKey)
            }, issuerPrivateKey: Certificate.PrivateKey(key))
        self.key = key
    }

    /// One that was made before.
    package init(certificatePEM: String, keyPEM: Secret) throws {
        certificate = try Certificate(pemEncoded: certificatePEM)
        key = try P256.Signing.PrivateKey(pemRepresentation: keyPEM.reveal())
    }

    /// For whoever is to trust it.
    package func certificatePEM() throws -> String { try certificate.serializeAsPEM().pemString + "\n" }

    package var keyPEM: Secret { Secret(key.pemRepresentation) }

    package var end: Date { certificate.notValidAfter }

    var subject: DistinguishedName { certificate.subject }

    /// A new certificate followed by its key, both as PEM: for a server as well as for a client.
    package func issue(to subject: Subject, days: Int, material: Material, now: Date) throws -> Secret {
        let key = material.key()
        let publicKey = Certificate.PublicKey(key.publicKey)
        let certificate = try Certificate(
            version: .v3, serialNumber: Self.serialNumber(material), publicKey: publicKey,
            notValidBefore: now - Self.clockSkewSeconds,
            // None outlives the authority.
            notValidAfter: min(now + TimeInterval(days) * Self.secondsPerDay, self.certificate.notValidAfter),
            issuer: self.certificate.subject, subject: try DistinguishedName { CommonName(subject.commonName) },
            signatureAlgorithm: .ecdsaWithSHA256,
            extensions: try Certificate.Extensions {
                Critical(BasicConstraints.notCertificateAuthority)
                Critical(KeyUsage(digitalSignature: true))
                try ExtendedKeyUsage([.serverAuth, .clientAuth])
                SubjectAlternativeNames(subject.addresses.flatMap(Self.names))
                SubjectKeyIdentifier(hash: publicKey)
                AuthorityKeyIdentifier(
                    keyIdentifier: SubjectKeyIdentifier(hash: self.certificate.publicKey).keyIdentifier)
            }, issuerPrivateKey: Certificate.PrivateKey(self.key))
        return Secret(try certificate.serializeAsPEM().pemString + "\n" + key.pemRepresentation)
    }

    /// Whether that certificate is of this authority and for just this subject.
    package func hasIssued(_ issued: IssuedCertificate, to subject: Subject) -> Bool {
        issued.commonName == subject.commonName && issued.addresses == Set(subject.addresses)
            && certificate.publicKey.isValidSignature(issued.certificate.signature, for: issued.certificate)
    }

    /// An IP address is there a second time as a DNS name: librabbitmq compares host names with those only.
    private static func names(_ address: String) -> [GeneralName] {
        guard let bytes = IssuedCertificate.bytes(ofAddress: address) else { return [.dnsName(address)] }
        return [.ipAddress(ASN1OctetString(contentBytes: bytes[...])), .dnsName(address)]
    }

    private static func serialNumber(_ material: Material) -> Certificate.SerialNumber {
        // A positive number whatever the first bit is.
        var bytes = material.serial()
        if let first = bytes.first { bytes[0] = (first & 0x3f) | 0x40 }
        return Certificate.SerialNumber(bytes: bytes)
    }
}

/// A certificate that was made earlier, as far as the tool looks into it.
package struct IssuedCertificate: Sendable {
    let certificate: Certificate

    /// The first certificate in `pem`, which may hold the key as well.
    package init(pem: Secret) throws {
        guard
            let document = try PEMDocument.parseMultiple(pemString: pem.reveal()).first(where: {
                $0.discriminator == "CERTIFICATE"
            })
        else { throw SecretFailure("a certificate file holds no certificate") }
        certificate = try Certificate(pemDocument: document)
    }

    package var end: Date { certificate.notValidAfter }

    /// Whole days until its end; below zero when that is past.
    package func daysLeft(at now: Date) -> Int {
        Int((certificate.notValidAfter.timeIntervalSince(now) / CertificateAuthority.secondsPerDay).rounded(.down))
    }

    var commonName: String? {
        for relative in certificate.subject {
            for attribute in relative where attribute.type == .RDNAttributeType.commonName {
                return attribute.value.description
            }
        }
        return nil
    }

    var addresses: Set<String> {
        guard let names = try? certificate.extensions.subjectAlternativeNames else { return [] }  // unreadable is none
        return Set(
            names.compactMap { name in
                if case .dnsName(let text) = name { text } else { nil }
            })
    }

    /// Four bytes of a dotted IPv4 address.
    static func bytes(ofAddress text: String) -> [UInt8]? {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) }
        guard parts.count == 4 else { return nil }
        let bytes = parts.compactMap { $0 }
        return bytes.count == 4 ? bytes : nil
    }
}

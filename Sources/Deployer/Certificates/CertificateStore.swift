package import FoundationEssentials
import Primitives
package import Topology

/// The cloud's authority and certificates on the operator's machine, beside its other secrets: a file each, mode 0600.
package struct CertificateStore: Sendable {
    private let secrets: SecretStore
    private let cloud: String
    private let settings: Topology.CertificateSettings
    private let material: CertificateAuthority.Material
    private let now: Date

    package init(
        secrets: SecretStore, cloud: String, settings: Topology.CertificateSettings,
        material: CertificateAuthority.Material = .system, now: Date
    ) {
        self.secrets = secrets
        self.cloud = cloud
        self.settings = settings
        self.material = material
        self.now = now
    }

    /// What a look at a certificate gives.
    package enum State: Sendable, Equatable {
        case missing
        /// Of another authority, or for other names.
        case other
        /// With so many days left, which are too few.
        case ending(Int)
        case good
    }

    /// Makes what is missing, does not fit its subject any more or nears its end.
    package func complete(_ wanted: [ProcessLayout.Certificate]) throws {
        guard !wanted.isEmpty else { return }
        let authority = try authority()
        for certificate in wanted where try state(of: certificate, authority) != .good {
            try issue(certificate, authority)
        }
    }

    /// Makes these anew, whatever they are.
    package func replace(_ wanted: [ProcessLayout.Certificate]) throws {
        guard !wanted.isEmpty else { return }
        let authority = try authority()
        for certificate in wanted { try issue(certificate, authority) }
    }

    /// How each is. Changes nothing.
    package func states(of wanted: [ProcessLayout.Certificate]) throws -> [SecretName: State] {
        let authority = try existingAuthority()
        var states: [SecretName: State] = [:]
        for certificate in wanted {
            states[certificate.name] = try authority.map { try state(of: certificate, $0) } ?? .missing
        }
        return states
    }

    private func state(
        of wanted: ProcessLayout.Certificate, _ authority: CertificateAuthority
    ) throws -> State {
        guard let pem = try secrets.existing(wanted.name) else { return .missing }
        let issued = try IssuedCertificate(pem: pem)
        guard authority.hasIssued(issued, to: wanted.subject) else { return .other }
        let left = issued.daysLeft(at: now)
        return left <= settings.renewDays ? .ending(left) : .good
    }

    private func issue(_ wanted: ProcessLayout.Certificate, _ authority: CertificateAuthority) throws {
        let pem = try authority.issue(
            to: wanted.subject, days: settings.validDays, material: material, now: now)
        try secrets.set(wanted.name, pem)
    }

    private func authority() throws -> CertificateAuthority {
        if let authority = try existingAuthority() { return authority }
        let authority = try CertificateAuthority(cloud: cloud, material: material, now: now)
        // The key first: a certificate without it would be of no use, and is taken for a whole authority.
        try secrets.set(.authorityKey, authority.keyPEM)
        try secrets.set(.authority, Secret(try authority.certificatePEM()))
        return authority
    }

    private func existingAuthority() throws -> CertificateAuthority? {
        guard let certificate = try secrets.existing(.authority), let key = try secrets.existing(.authorityKey) else {
            return nil
        }
        return try CertificateAuthority(certificatePEM: certificate.reveal(), keyPEM: key)
    }
}

extension ProcessLayout.Certificate {
    var subject: CertificateAuthority.Subject { .init(commonName: commonName, addresses: addresses) }
}

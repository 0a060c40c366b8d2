import CloudModel

extension Topology {
    /// When connections are encrypted and both sides show certificates of the cloud's own authority.
    package enum TLSMode: String, Sendable, Codable, CaseIterable {
        /// Unless everything is on loopback.
        case auto
        case on, off
    }

    /// For how long certificates are made, and when they are renewed. In days.
    package struct CertificateSettings: Sendable, Hashable, Codable {
        package static let defaultValidDays = 365
        package static let defaultRenewDays = 30

        package var validDays: Int
        /// A certificate with at most this many days left is renewed by the next apply.
        package var renewDays: Int

        package init(validDays: Int = defaultValidDays, renewDays: Int = defaultRenewDays) {
            self.validDays = validDays
            self.renewDays = renewDays
        }
    }

    /// Whether the cloud's connections are encrypted. Addresses that are not known yet count as not loopback.
    package var usesTLS: Bool {
        switch tls {
        case .on: true
        case .off: false
        case .auto: !Self.isLoopback(api.listenAddress) || !hosts.allSatisfy { Self.isLoopback($0.reachableAt) }
        }
    }

    private static func isLoopback(_ address: String) -> Bool {
        if address == "localhost" { return true }
        return IPv4Address(address) != nil && address.hasPrefix("127.")
    }
}

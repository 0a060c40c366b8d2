extension Topology {
    /// The file's `tls`.
    package enum TLSMode: String, Sendable, Codable, CaseIterable {
        /// On when anything of the cloud listens or is reached off this machine's loopback.
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

    /// Whether the API, brokers and databases are reached over TLS only.
    ///
    /// Needs the hosts' addresses (``withLabAddresses(existing:)``); a lab is never on loopback.
    package var usesTLS: Bool {
        switch tls {
        case .on: return true
        case .off: return false
        case .auto: break
        }
        if lab != nil { return true }
        return !api.listenAddresses.allSatisfy(Self.isLoopback) || !hosts.allSatisfy { Self.isLoopback($0.reachableAt) }
    }

    /// `127.0.0.0/8` and `localhost`. A wildcard address listens everywhere, so it is not.
    static func isLoopback(_ address: String) -> Bool {
        if let number = IPv4Address(address)?.number { return number >> 24 == 127 }
        return address.lowercased() == "localhost"
    }
}

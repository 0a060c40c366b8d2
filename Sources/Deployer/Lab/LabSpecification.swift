/// Which hosts a lab has, and where it keeps them.
package struct LabSpecification: Sendable, Equatable {
    package struct Host: Sendable, Hashable {
        package var name: String
        /// In the lab's network.
        package var address: String

        package init(name: String, address: String) {
            self.name = name
            self.address = address
        }
    }

    /// Absolute path of the lab's own folder; everything the lab keeps is in it, base trees apart.
    package var folder: String
    /// In CIDR notation.
    package var network: String
    package var prefixLength: Int
    /// This machine's address in the network.
    package var gateway: String
    package var hosts: [Host]

    package init(folder: String, network: String, prefixLength: Int, gateway: String, hosts: [Host]) {
        self.folder = folder
        self.network = network
        self.prefixLength = prefixLength
        self.gateway = gateway
        self.hosts = hosts
    }

    /// Tells this lab's containers, links and control groups from those of others: eight hexadecimal digits of its folder's
    /// path.
    package var tag: String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in folder.utf8 { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01b3 }
        let hex = String(hash >> 32, radix: 16)
        return String(repeating: "0", count: 8 - hex.count) + hex
    }

    /// Files and folders of the lab.
    struct Paths: Sendable {
        let folder: String

        var state: String { "\(folder)/state.json" }
        var lock: String { "\(folder)/lock" }
        var key: String { "\(folder)/id_ed25519" }
        var knownHosts: String { "\(folder)/known_hosts" }
        var sshConfig: String { "\(folder)/ssh_config" }
        var hosts: String { "\(folder)/hosts" }
        func host(_ name: String) -> String { "\(hosts)/\(name)" }
        func upper(_ name: String) -> String { "\(hosts)/\(name)/upper" }
        func log(_ name: String) -> String { "\(hosts)/\(name)/console.log" }
        func pid(_ name: String) -> String { "\(hosts)/\(name)/pid" }
    }

    var paths: Paths { Paths(folder: folder) }

    func machine(_ host: String) -> String { "cwlab-\(tag)-\(host)" }
}

package import CloudModel
import FoundationEssentials
package import Topology

/// Where a deployment's things are on the operator's machine.
package struct DeploymentSettings: Sendable {
    /// With an address for every host.
    package var topology: Topology
    /// Absolute path of the folder that the topology file is in: paths in the file are relative to it.
    package var topologyFolder: String
    /// Absolute path of `.cellwright`.
    package var stateFolder: String
    /// Absolute path of the folder that has our executables.
    package var binariesFolder: String
    package var environment: [String: String]

    package init(
        topology: Topology, topologyFolder: String, stateFolder: String, binariesFolder: String,
        environment: [String: String]
    ) {
        self.topology = topology
        self.topologyFolder = topologyFolder
        self.stateFolder = stateFolder
        self.binariesFolder = binariesFolder
        self.environment = environment
    }

    package static let stateFolderName = ".cellwright"

    var secretsFolder: String { "\(stateFolder)/secrets" }
    var cacheFolder: String { "\(stateFolder)/cache" }
    var tokenPath: String { "\(cacheFolder)/token" }
    var lockPath: String { "\(stateFolder)/lock" }
    package var journalPath: String { "\(stateFolder)/journal" }
    package var cloudsPath: String { "\(stateFolder)/clouds.yaml" }
    package var labFolder: String { "\(stateFolder)/lab" }

    /// Certificates by which the cloud's API is verified; `nil` without TLS, when a client uses its system's own.
    package var authorityPath: String? {
        topology.usesTLS ? "\(secretsFolder)/\(SecretName.authority)" : nil
    }

    /// The text of a `caFile` of the topology.
    /// - Throws: when it can't be read or holds no certificate.
    func authority(_ file: String) throws -> String {
        let text = try FileSystem.text(FileSystem.resolve(file, in: topologyFolder))
        guard text.contains("-----BEGIN CERTIFICATE-----") else {
            throw SecretFailure("\(file) is to hold certificates of an authority, as PEM, and holds none")
        }
        return text
    }

    /// The lab that the topology asks for; `nil` when its hosts are machines.
    package var lab: LabSpecification? {
        guard let lab = topology.lab else { return nil }
        return LabSpecification(
            folder: labFolder, network: lab.network.description, prefixLength: lab.network.prefixLength,
            gateway: lab.gateway.description,
            hosts: topology.hosts.map { .init(name: $0.name.text, address: $0.reachableAt) })
    }

    /// How each host is logged in to.
    var targets: [HostName: SSHTarget] {
        let paths = lab?.paths
        return Dictionary(
            topology.hosts.map { host in
                (
                    host.name,
                    SSHTarget(
                        name: host.name.text, address: host.reachableAt, port: host.ssh.port, user: host.ssh.user,
                        identityFile: paths?.key
                            ?? host.ssh.identityFile.map { FileSystem.resolve($0, in: topologyFolder) },
                        knownHostsFile: paths?.knownHosts, jump: host.ssh.jump)
                )
            }, uniquingKeysWith: { first, _ in first })
    }

    /// Addresses that the lab's hosts already have, so that a host that is added moves no other.
    package static func labAddresses(stateFolder: String) throws -> [HostName: String] {
        guard let state = try LabState.read("\(stateFolder)/lab/state.json") else { return [:] }
        return Dictionary(
            state.hosts.map { name, host in (HostName(name), host.address) },
            uniquingKeysWith: { first, _ in first })
    }
}

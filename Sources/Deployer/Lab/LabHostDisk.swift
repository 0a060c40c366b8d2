import FoundationEssentials
import Glibc
import SystemPackage

/// What makes one lab host differ from the base tree when it is made: its name, address, keys and settings.
struct LabHostDisk: Sendable {
    /// libvirt in a container: control groups are read-only there, and files belong to root anyhow.
    static let libvirtSettings = """
        # Written when this lab host was made.
        user = "root"
        group = "root"
        dynamic_ownership = 0
        security_driver = "none"
        cgroup_controllers = [ ]
        namespaces = [ ]
        stdio_handler = "file"

        """

    let specification: LabSpecification
    let host: LabSpecification.Host

    /// Whether the disk is whole; one that a crash left half-made is made again.
    var isMade: Bool { FileSystem.exists("\(specification.paths.host(host.name))/made") }

    /// Makes the disk. `authorizedKey` is the public key that may log in as root.
    func make(authorizedKey: String) async throws {
        let paths = specification.paths
        let folder = paths.host(host.name)
        try FileSystem.remove(folder)
        try FileSystem.makeFolder(folder, mode: [.ownerReadWriteExecute, .groupExecute, .otherExecute])
        for part in ["upper", "work", "root"] { try FileSystem.makeFolder("\(folder)/\(part)", mode: Self.open) }
        for part in ["etc", "etc/ssh", "etc/ssh/sshd_config.d", "etc/systemd", "etc/systemd/network", "etc/libvirt"] {
            try FileSystem.makeFolder("\(folder)/upper/\(part)", mode: Self.open)
        }
        try FileSystem.makeFolder("\(folder)/upper/root")
        try FileSystem.makeFolder("\(folder)/upper/root/.ssh")
        for (path, text) in files(authorizedKey: authorizedKey) {
            let mode: FilePermissions =
                path.hasPrefix("root/") ? .ownerReadWrite : [.ownerReadWrite, .groupRead, .otherRead]
            try PrivateFile.write(text, to: "\(folder)/upper/\(path)", mode: mode)
        }
        try await LocalCommand(
            "ssh-keygen",
            ["-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", "\(folder)/upper/etc/ssh/ssh_host_ed25519_key"]
        ).check()
        try PrivateFile.write("", to: "\(folder)/made")
    }

    /// Line for a known-hosts file.
    func knownHostsLine() throws -> String {
        let key = try FileSystem.text(
            "\(specification.paths.upper(host.name))/etc/ssh/ssh_host_ed25519_key.pub")
        return "\(host.name),\(host.address) " + key.split(separator: " ").prefix(2).joined(separator: " ")
    }

    private static let open: FilePermissions = [.ownerReadWriteExecute, .groupReadExecute, .otherReadExecute]

    func files(authorizedKey: String, machineID: String = LabHostDisk.randomMachineID()) -> [(String, String)] {
        [
            ("etc/hostname", "\(host.name)\n"),
            ("etc/machine-id", "\(machineID)\n"),
            ("etc/hosts", "127.0.0.1 localhost\n\(host.address) \(host.name)\n\(specification.gateway) gateway\n"),
            // No resolver: names that nobody answers would hold up every server that looks up its own.
            ("etc/resolv.conf", ""),
            (
                "etc/systemd/network/10-cellwright-lab.network",
                """
                [Match]
                Name=host0

                [Network]
                Address=\(host.address)/\(specification.prefixLength)
                Gateway=\(specification.gateway)
                LinkLocalAddressing=no
                IPv6AcceptRA=no

                """
            ),
            ("etc/ssh/sshd_config.d/lab.conf", "MaxSessions 64\nMaxStartups 64\nUseDNS no\nX11Forwarding no\n"),
            ("etc/libvirt/qemu.conf", Self.libvirtSettings),
            ("root/.ssh/authorized_keys", authorizedKey),
        ]
    }

    static func randomMachineID() -> String {
        UUID().uuidString.lowercased().filter { $0 != "-" }
    }
}

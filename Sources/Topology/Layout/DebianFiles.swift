import CloudModel
import MessageBus

/// Texts of configuration files of Debian's packages, as the tool writes them.
package enum DebianFiles {
    /// PostgreSQL's version in Debian 12.
    package static let postgresVersion = 15
    package static let postgresFolder = "/etc/postgresql/\(postgresVersion)/main"
    /// The tool's own settings of the server.
    package static let postgresSettingsPath = "\(postgresFolder)/conf.d/cellwright.conf"
    package static let postgresUnit = "postgresql@\(postgresVersion)-main.service"
    static let rabbitUnit = "rabbitmq-server.service"
    static let libvirtUnit = "libvirtd.service"

    /// A setting of the tool's own, by which a running server tells which files it has read.
    static let postgresInputsSetting = "cellwright.inputs"

    /// - Parameters:
    ///   - inputs: what ``postgresInputsSetting`` says.
    ///   - certificate: path of the server's certificate and key; `nil` without TLS.
    static func postgresSettings(port: Int, inputs: String, certificate: String?) -> String {
        let security =
            certificate.map {
                """
                ssl = on
                ssl_ca_file = '\(ProcessLayout.Paths.authority)'
                ssl_cert_file = '\($0)'
                ssl_key_file = '\($0)'
                ssl_min_protocol_version = 'TLSv1.2'
                """
            } ?? "ssl = off"
        return """
            # Written by cellwright apply; changes are overwritten.
            listen_addresses = '*'
            port = \(port)
            max_connections = 1000
            shared_buffers = 64MB
            password_encryption = 'scram-sha-256'
            \(security)
            \(postgresInputsSetting) = '\(inputs)'

            """
    }

    /// Each role from the addresses of its cell's processes, to its own database only. With TLS, encrypted and with a
    /// certificate that bears the role's name.
    static func postgresAccess(_ entries: [(role: String, addresses: [String])], usesTLS: Bool) -> String {
        var lines = [
            "# Written by cellwright apply; changes are overwritten.",
            "local all postgres peer",
        ]
        for entry in entries {
            for address in entry.addresses {
                let source = IPv4Address(address) == nil ? address : "\(address)/32"
                let target = "\"\(entry.role)\" \"\(entry.role)\" \(source) scram-sha-256"
                lines.append(usesTLS ? "hostssl \(target) clientcert=verify-full" : "host \(target)")
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    /// The management API answers on loopback only: the tool goes there over SSH. With TLS nothing else is spoken on
    /// the broker's port, and only with those who show a certificate of the cloud.
    static func rabbitSettings(_ server: Topology.EmbeddedBroker, certificate: String?) -> String {
        let listeners =
            certificate.map {
                """
                listeners.tcp = none
                listeners.ssl.default = 0.0.0.0:\(server.port)
                ssl_options.cacertfile = \(ProcessLayout.Paths.authority)
                ssl_options.certfile = \($0)
                ssl_options.keyfile = \($0)
                ssl_options.verify = verify_peer
                ssl_options.fail_if_no_peer_cert = true
                ssl_options.versions.1 = tlsv1.3
                ssl_options.versions.2 = tlsv1.2
                """
            } ?? "listeners.tcp.default = 0.0.0.0:\(server.port)"
        return """
            # Written by cellwright apply; changes are overwritten.
            \(listeners)
            management.tcp.ip = 127.0.0.1
            management.tcp.port = \(server.managementPort)
            vm_memory_high_watermark.relative = 0.4
            disk_free_limit.absolute = 200MB
            heartbeat = 10
            max_message_size = \(Envelope.bodyLimitBytes)

            """
    }

    static let rabbitPlugins = "[rabbitmq_management].\n"

    /// A node name that does not change with the host's, no busy waiting, and distribution on loopback only.
    static let rabbitEnvironment = """
        # Written by cellwright apply; changes are overwritten.
        NODENAME=rabbit@localhost
        SERVER_ADDITIONAL_ERL_ARGS="+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}"
        export ERL_EPMD_ADDRESS=127.0.0.1

        """

    static func inputsDropIn(_ inputs: String) -> String {
        """
        # Written by cellwright apply; changes are overwritten.
        [Service]
        Environment=\(ResourceSpecification.Unit.inputsVariable)=\(inputs)
        # libvirtd ends when it is idle unless this is empty; other servers do not know it.
        Environment=LIBVIRTD_ARGS=
        Restart=always
        RestartSec=1

        """
    }

    static func dropInPath(_ unit: String) -> String { "\(ProcessLayout.Paths.units)/\(unit).d/cellwright.conf" }

    /// QEMU in a container: no control groups to write, one user, no confinement by another security module.
    static let labQEMUSettings = """
        # Written by cellwright apply; changes are overwritten.
        user = "root"
        group = "root"
        dynamic_ownership = 0
        remember_owner = 0
        security_driver = "none"
        cgroup_controllers = [ ]
        namespaces = [ ]
        stdio_handler = "file"

        """

    static func packages(for roles: Set<HostRole>, drivers: Set<Topology.Hypervisor.Driver>) -> [String: [String]] {
        var packages: [String: [String]] = [:]
        if roles.contains(.database) { packages["database"] = ["postgresql-\(postgresVersion)"] }
        if roles.contains(.broker) { packages["broker"] = ["rabbitmq-server"] }
        if !roles.isDisjoint(with: [.api, .supervisor, .conductor]) {
            packages["control"] = ["curl", "libpq5", "librabbitmq4"]
        }
        if roles.contains(.compute) {
            var names = ["curl", "librabbitmq4", "libvirt0"]
            if drivers.contains(.libvirt) {
                names += [
                    "dnsmasq-base", "genisoimage", "iproute2", "libvirt-clients", "libvirt-daemon-driver-qemu",
                    "libvirt-daemon-system", "nftables", "qemu-system-x86", "qemu-utils",
                ]
            }
            packages["compute"] = names.sorted()
        }
        return packages
    }

    /// Groups of packages for servers that somebody else runs: `psql` to be the administrator with, and the
    /// authorities of the host's system where those are trusted.
    static let databaseClient = (group: "database-client", packages: ["postgresql-client-\(postgresVersion)"])
    static let systemAuthorities = (group: "authorities", packages: ["ca-certificates"])
}

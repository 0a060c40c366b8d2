import CloudModel
import FoundationEssentials
import Primitives

#if canImport(Glibc)
    import Glibc
#endif

/// Where the kernel shows the host's devices and takes its settings.
package struct KernelFiles: Sendable {
    package var devices: String
    /// Lets the `inet` hooks see frames that stay on one bridge: without it, groups would not hold between neighbours.
    package var bridgeFilterSwitch: String

    package init(
        devices: String = "/sys/class/net",
        bridgeFilterSwitch: String = "/proc/sys/net/bridge/bridge-nf-call-iptables"
    ) {
        self.devices = devices
        self.bridgeFilterSwitch = bridgeFilterSwitch
    }
}

/// Realises guests' networks on this host: a bridge a network, a tap a port, one address service (dnsmasq) a network that
/// answers each port with the address the API shows, and the firewall. Everything may be repeated.
struct HostNetwork: Sendable {
    let commands: any HostCommands
    /// Holds one folder a network: the address service's files.
    let directory: String
    private let kernel: KernelFiles
    /// One change of the host's network at a time.
    private let turn = Bulkhead(name: "host network", limit: 1, waiting: 10_000)

    init(commands: any HostCommands, directory: String, kernel: KernelFiles = KernelFiles()) {
        self.commands = commands
        self.directory = directory
        self.kernel = kernel
    }

    /// Makes what these interfaces need, and lets the firewall know all interfaces of the host.
    func realise(_ interfaces: [NetworkInterface], hostname: String, all: [NetworkInterface]) async throws {
        try await turn.run {
            for interface in interfaces {
                try await makeBridge(interface)
                try await makeTap(interface)
                try await serveAddresses(interface, hostname: hostname)
            }
            try await applyFirewall(all)
        }
    }

    /// Takes interfaces away; a network that no interface of `remaining` needs goes with them.
    func remove(_ interfaces: [NetworkInterface], remaining: [NetworkInterface]) async throws {
        try await turn.run {
            for interface in interfaces {
                let tap = DeviceNames.tap(interface.portID)
                if try await exists(tap) { try await commands.run("ip", "link", "delete", tap) }
                try Self.delete(hostFile(interface))
                if !remaining.contains(where: { $0.networkID == interface.networkID }) {
                    try await removeNetwork(interface.networkID)
                } else {
                    try await reloadAddressService(interface.networkID)
                }
            }
            try await applyFirewall(remaining)
        }
    }

    // MARK: Strays

    /// Ports that have a device or an address here and are not of `known`, by their first digits.
    func strayPorts(besides known: [NetworkInterface]) async throws -> Set<String> {
        try await turn.run {
            let taps = try FileManager.default.contentsOfDirectory(atPath: kernel.devices)
                .compactMap { DeviceNames.portDigits(tap: $0) }
            let addresses = try networks().flatMap { try portsWithAddresses(in: $0).map(DeviceNames.portDigits) }
            return Set(taps + addresses).subtracting(known.map { DeviceNames.portDigits($0.portID) })
        }
    }

    /// Takes these ports' devices and addresses away, those of `known` excepted, and networks that nobody needs then.
    func release(_ ports: [PortID], besides known: [NetworkInterface]) async throws {
        let strays = Set(ports).subtracting(known.map(\.portID))
        try await turn.run {
            for port in strays {
                let tap = DeviceNames.tap(port)
                if try await exists(tap) { try await commands.run("ip", "link", "delete", tap) }
            }
            for network in try networks() {
                let here = try portsWithAddresses(in: network)
                guard !strays.isDisjoint(with: here) else { continue }
                for port in here where strays.contains(port) { try Self.delete("\(hostsFolder(network))/\(port)") }
                if strays.isSuperset(of: here), !known.contains(where: { $0.networkID == network }) {
                    try await removeNetwork(network)
                } else {
                    try await reloadAddressService(network)
                }
            }
        }
    }

    private func networks() throws -> [NetworkID] {
        guard FileManager.default.fileExists(atPath: directory) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: directory).compactMap { NetworkID($0) }
    }

    private func portsWithAddresses(in network: NetworkID) throws -> [PortID] {
        guard FileManager.default.fileExists(atPath: hostsFolder(network)) else { return [] }
        return try FileManager.default.contentsOfDirectory(atPath: hostsFolder(network)).compactMap { PortID($0) }
    }

    // MARK: Devices

    private func exists(_ device: String) async throws -> Bool {
        FileManager.default.fileExists(atPath: "\(kernel.devices)/\(device)")
    }

    private func makeBridge(_ interface: NetworkInterface) async throws {
        let bridge = DeviceNames.bridge(interface.networkID)
        if try await !exists(bridge) {
            try await commands.run("ip", "link", "add", bridge, "type", "bridge", "forward_delay", "0")
        }
        for address in interface.addresses {
            guard let gateway = address.gateway else { continue }
            try await commands.run("ip", "address", "replace", "\(gateway)/\(address.prefixLength)", "dev", bridge)
        }
        try await commands.run("ip", "link", "set", bridge, "mtu", "\(interface.mtu)", "up")
    }

    private func makeTap(_ interface: NetworkInterface) async throws {
        let tap = DeviceNames.tap(interface.portID)
        if try await !exists(tap) { try await commands.run("ip", "tuntap", "add", "dev", tap, "mode", "tap") }
        // The guest has its address on its own end; the host's end must differ from it, or the bridge takes the frames.
        let hostEnd = "fe" + interface.macAddress.dropFirst(2)
        try await commands.run(
            "ip", "link", "set", tap, "address", hostEnd, "mtu", "\(interface.mtu)", "master",
            DeviceNames.bridge(interface.networkID), "up")
    }

    // MARK: Addresses

    private func folder(_ network: NetworkID) -> String { "\(directory)/\(network)" }
    private func hostsFolder(_ network: NetworkID) -> String { folder(network) + "/hosts" }
    private func hostFile(_ interface: NetworkInterface) -> String {
        "\(hostsFolder(interface.networkID))/\(interface.portID)"
    }
    private func pidFile(_ network: NetworkID) -> String { folder(network) + "/dnsmasq.pid" }

    private func serveAddresses(_ interface: NetworkInterface, hostname: String) async throws {
        guard let address = interface.addresses.first else { return }
        let hosts = hostsFolder(interface.networkID)
        try FileManager.default.createDirectory(atPath: hosts, withIntermediateDirectories: true)
        let line = "\(interface.macAddress),\(address.address),\(hostname),infinite\n"
        let path = hostFile(interface)
        let isKnown = FileManager.default.contents(atPath: path) == Data(line.utf8)
        if !isKnown { try Data(line.utf8).write(to: URL(filePath: path), options: .atomic) }
        if runningService(interface.networkID) == nil {
            try await startService(interface, address)
        } else if !isKnown {
            try await reloadAddressService(interface.networkID)
        }
    }

    private func startService(_ interface: NetworkInterface, _ address: NetworkInterface.FixedAddress) async throws {
        let id = interface.networkID
        guard let own = IPv4Address(address.address),
            let prefix = IPv4Prefix(address: own, length: address.prefixLength)
        else { return }
        let options = [
            address.gateway.map { "option:router,\($0)" } ?? "option:router",
            address.nameServers.isEmpty
                ? "option:dns-server" : "option:dns-server,\(address.nameServers.joined(separator: ","))",
            "option:mtu,\(interface.mtu)",
        ]
        var arguments = [
            "--conf-file=/dev/null", "--no-hosts", "--no-resolv", "--port=0", "--bind-interfaces", "--leasefile-ro",
            "--except-interface=lo", "--interface=\(DeviceNames.bridge(id))", "--pid-file=\(pidFile(id))",
            "--dhcp-hostsdir=\(hostsFolder(id))", "--dhcp-authoritative", "--dhcp-no-override",
            "--dhcp-range=\(prefix.network),static,\(IPv4Prefix.netmask(prefix.length)),infinite",
            "--user=root", "--group=root",
        ]
        arguments += options.map { "--dhcp-option=\($0)" }
        try await commands.run("dnsmasq", arguments, input: "")
    }

    /// dnsmasq sees new files by itself, changed and deleted ones only when told.
    private func reloadAddressService(_ network: NetworkID) async throws {
        guard let process = runningService(network) else { return }
        try await commands.run("kill", "-HUP", "\(process)")
    }

    /// The network's dnsmasq, if the process that its file names is really one that serves our folder.
    private func runningService(_ network: NetworkID) -> Int32? {
        guard let text = FileManager.default.contents(atPath: pidFile(network)),
            let process = Int32(String(decoding: text, as: UTF8.self).prefix { $0.isNumber }),
            let commandLine = FileManager.default.contents(atPath: "/proc/\(process)/cmdline"),
            String(decoding: commandLine, as: UTF8.self).contains(hostsFolder(network))
        else { return nil }
        return process
    }

    private func removeNetwork(_ network: NetworkID) async throws {
        if let process = runningService(network) { try await commands.run("kill", "-TERM", "\(process)") }
        let bridge = DeviceNames.bridge(network)
        if try await exists(bridge) { try await commands.run("ip", "link", "delete", bridge) }
        try Self.delete(folder(network))
    }

    private func applyFirewall(_ interfaces: [NetworkInterface]) async throws {
        if FileManager.default.contents(atPath: kernel.bridgeFilterSwitch)?.first != UInt8(ascii: "1") {
            try Data("1\n".utf8).write(to: URL(filePath: kernel.bridgeFilterSwitch))
        }
        try await commands.run("nft", ["-f", "-"], input: FirewallRuleset(interfaces: interfaces).script())
    }

    private static func delete(_ path: String) throws {
        guard FileManager.default.fileExists(atPath: path) else { return }
        try FileManager.default.removeItem(atPath: path)
    }
}

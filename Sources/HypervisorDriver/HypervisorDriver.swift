package import CloudModel

/// A host's hypervisor. Adapters: `LibvirtHypervisor`, ``SimulatedHypervisor``; both pass one contract suite.
///
/// A driver touches only guests that it made (they carry our mark) and never anything else on the host.
package protocol HypervisorDriver: Sendable {
    /// What the host has and which kind of virtualisation was chosen, and why.
    func capabilities() async throws(HypervisorError) -> HypervisorCapabilities

    /// Makes the guest known, replacing an older definition of the same id. It is not started.
    func define(_ guest: GuestDefinition) async throws(HypervisorError)
    /// Starts a defined guest; one that runs is left alone.
    func start(_ id: ServerID) async throws(HypervisorError)
    /// Asks the guest to power off and returns at once; whether it obeys is seen by its state.
    func requestShutdown(_ id: ServerID) async throws(HypervisorError)
    /// Asks the guest to reboot from inside and returns at once.
    func requestReboot(_ id: ServerID) async throws(HypervisorError)
    /// Ends the guest by force; one that does not run is left alone.
    func destroy(_ id: ServerID) async throws(HypervisorError)
    /// Forgets the guest, which must not run; one that is unknown is left alone.
    func undefine(_ id: ServerID) async throws(HypervisorError)

    /// - Throws: ``HypervisorError/notFound(_:)`` when the guest is not defined here.
    func state(of id: ServerID) async throws(HypervisorError) -> PowerState
    /// All guests of ours.
    func guests() async throws(HypervisorError) -> [ServerID: PowerState]
    func statistics(of id: ServerID) async throws(HypervisorError) -> GuestStatistics
    /// The last `byteLimit` bytes of the serial console's log.
    func consoleLog(of id: ServerID, byteLimit: Int) async throws(HypervisorError) -> [UInt8]
    func vncAddress(of id: ServerID) async throws(HypervisorError) -> ConsoleAddress

    /// Changes that guests make by themselves. One consumer; ends when the driver is closed.
    var lifecycleEvents: AsyncStream<GuestLifecycle> { get }

    /// Whether calls would reach the hypervisor now.
    var isConnected: Bool { get }

    func close() async
}

package struct HypervisorCapabilities: Sendable, Equatable {
    /// `kvm`, `qemu` or `simulated`.
    package var virtType: String
    /// Why this one, for the log and the operator.
    package var virtTypeReason: String
    package var vcpus: Int
    package var memoryMiB: Int
    /// As libvirt writes it: major * 1,000,000 + minor * 1,000 + release.
    package var version: Int
    package var hostname: String
    package var architecture: String
    package var cpuModel: String

    package init(
        virtType: String, virtTypeReason: String, vcpus: Int, memoryMiB: Int, version: Int, hostname: String,
        architecture: String, cpuModel: String
    ) {
        self.virtType = virtType
        self.virtTypeReason = virtTypeReason
        self.vcpus = vcpus
        self.memoryMiB = memoryMiB
        self.version = version
        self.hostname = hostname
        self.architecture = architecture
        self.cpuModel = cpuModel
    }
}

/// A guest ready to be defined: every path and device on this host is decided.
package struct GuestDefinition: Sendable, Equatable {
    package struct Disk: Sendable, Equatable {
        package var path: String
        /// `raw` or `qcow2`.
        package var format: String
        package init(path: String, format: String) {
            self.path = path
            self.format = format
        }
    }
    package struct Card: Sendable, Equatable {
        package var tapName: String
        package var macAddress: String
        package var mtu: Int
        package init(tapName: String, macAddress: String, mtu: Int) {
            self.tapName = tapName
            self.macAddress = macAddress
            self.mtu = mtu
        }
    }
    package var id: ServerID
    /// For people who look with virsh; need not be unique.
    package var displayName: String
    package var vcpus: Int
    package var memoryMiB: Int
    package var rootDisk: Disk?
    /// An ISO 9660 file.
    package var configDrivePath: String?
    package var cards: [Card]
    package var consoleLogPath: String

    package init(
        id: ServerID, displayName: String, vcpus: Int, memoryMiB: Int, rootDisk: Disk?, configDrivePath: String?,
        cards: [Card], consoleLogPath: String
    ) {
        self.id = id
        self.displayName = displayName
        self.vcpus = vcpus
        self.memoryMiB = memoryMiB
        self.rootDisk = rootDisk
        self.configDrivePath = configDrivePath
        self.cards = cards
        self.consoleLogPath = consoleLogPath
    }
}

package struct GuestStatistics: Sendable, Equatable {
    package var cpuNanoseconds: UInt64
    package var memoryMiB: Int
    package var vcpus: Int
    package init(cpuNanoseconds: UInt64, memoryMiB: Int, vcpus: Int) {
        self.cpuNanoseconds = cpuNanoseconds
        self.memoryMiB = memoryMiB
        self.vcpus = vcpus
    }
}

package struct ConsoleAddress: Sendable, Equatable {
    package var host: String
    package var port: Int
    package init(host: String, port: Int) {
        self.host = host
        self.port = port
    }
}

package struct GuestLifecycle: Sendable, Equatable {
    package var id: ServerID
    package var power: PowerState
    package init(id: ServerID, power: PowerState) {
        self.id = id
        self.power = power
    }
}

package enum HypervisorError: Error, Sendable, Equatable, CustomStringConvertible {
    case notFound(ServerID)
    /// The connection to the hypervisor is down; it is being opened again.
    case disconnected(String)
    /// The hypervisor's own code and words.
    case failed(code: Int, String)
    case invalid(String)
    case tooManyInFlight
    case cancelled

    package var description: String {
        switch self {
        case .notFound(let id): "no guest \(id) on this host"
        case .disconnected(let detail): "the hypervisor is out of reach: \(detail)"
        case .failed(let code, let detail): "the hypervisor failed (\(code)): \(detail)"
        case .invalid(let detail): "invalid guest: \(detail)"
        case .tooManyInFlight: "too many hypervisor calls in flight"
        case .cancelled: "cancelled"
        }
    }
}

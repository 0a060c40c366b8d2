import CloudModel
import FoundationEssentials
import HypervisorDriver
import Primitives
import Synchronization

/// A machine with guests: they live on when its agent dies, and their changes are seen only by an agent that is there.
final class SimulatedHost: Sendable {
    let name: HostName
    let cell: CellPath
    let provider: ProviderID
    /// Where the agent remembers what it did.
    let folder: String
    let hypervisor: SimulatedHypervisor
    private let listener = Mutex<AsyncStream<GuestLifecycle>.Continuation?>(nil)

    init(_ name: HostName, in cell: CellPath, provider: ProviderID, folder: String) throws {
        self.name = name
        self.cell = cell
        self.provider = provider
        self.folder = folder
        hypervisor = try SimulatedHypervisor(vcpus: 8, memoryMiB: 4096, hostname: name.text)
    }

    var inventory: HostInventory {
        HostInventory(
            vcpus: 8, memoryMiB: 4096, diskGiB: 100, hypervisorType: "simulated", hypervisorVersion: 1,
            hypervisorHostname: name.text, hostIP: "127.0.0.1", reservedMemoryMiB: 0, agentVersion: "1")
    }

    /// Hands what guests do on to the agent of the moment, until cancelled.
    func run() async {
        for await change in hypervisor.lifecycleEvents { _ = listener.withLock { $0 }?.yield(change) }
    }

    /// For the agent that begins now.
    func listen() -> AsyncStream<GuestLifecycle> {
        let (stream, continuation) = AsyncStream.makeStream(of: GuestLifecycle.self)
        listener.withLock { $0 = continuation }
        return stream
    }
}

/// A host's hypervisor as its agent reaches it: it takes a while, fails for a time, and what is done stays done when the
/// agent dies.
struct PortedDriver: HypervisorDriver {
    private static let latency = 1...300

    let host: SimulatedHost
    let lifecycleEvents: AsyncStream<GuestLifecycle>
    let fuse: Fuse
    let weather: Weather
    let clock: VirtualClock

    var isConnected: Bool { true }

    private func call<Result>(
        _ body: () async throws(HypervisorError) -> Result
    ) async throws(HypervisorError) -> Result {
        try await travel()
        guard weather.isHypervisorUp(on: host.name) else { throw .failed(code: 1, "it fails for a while") }
        let result = try await body()
        try await travel()
        return result
    }

    private func travel() async throws(HypervisorError) {
        do {
            try await fuse.pass()
            if weather.chance(50) { try await clock.sleep(for: weather.milliseconds(Self.latency)) }
            try await fuse.pass()
        } catch {
            throw .cancelled
        }
    }

    func capabilities() async throws(HypervisorError) -> HypervisorCapabilities {
        try await host.hypervisor.capabilities()
    }
    func define(_ guest: GuestDefinition) async throws(HypervisorError) {
        try await call { () async throws(HypervisorError) in try await host.hypervisor.define(guest) }
    }
    func start(_ id: ServerID) async throws(HypervisorError) {
        try await call { () async throws(HypervisorError) in try await host.hypervisor.start(id) }
    }
    func requestShutdown(_ id: ServerID) async throws(HypervisorError) {
        try await call { () async throws(HypervisorError) in try await host.hypervisor.requestShutdown(id) }
    }
    func requestReboot(_ id: ServerID) async throws(HypervisorError) {
        try await call { () async throws(HypervisorError) in try await host.hypervisor.requestReboot(id) }
    }
    func destroy(_ id: ServerID) async throws(HypervisorError) {
        try await call { () async throws(HypervisorError) in try await host.hypervisor.destroy(id) }
    }
    func undefine(_ id: ServerID) async throws(HypervisorError) {
        try await call { () async throws(HypervisorError) in try await host.hypervisor.undefine(id) }
    }
    func state(of id: ServerID) async throws(HypervisorError) -> PowerState {
        try await call { () async throws(HypervisorError) in try await host.hypervisor.state(of: id) }
    }
    func guests() async throws(HypervisorError) -> [ServerID: PowerState] {
        try await call { () async throws(HypervisorError) in try await host.hypervisor.guests() }
    }
    func statistics(of id: ServerID) async throws(HypervisorError) -> GuestStatistics {
        try await host.hypervisor.statistics(of: id)
    }
    func consoleLog(of id: ServerID, byteLimit: Int) async throws(HypervisorError) -> [UInt8] {
        try await host.hypervisor.consoleLog(of: id, byteLimit: byteLimit)
    }
    func vncAddress(of id: ServerID) async throws(HypervisorError) -> ConsoleAddress {
        try await host.hypervisor.vncAddress(of: id)
    }
    func close() async {}
}

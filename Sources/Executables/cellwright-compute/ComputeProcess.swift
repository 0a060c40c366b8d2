import ArgumentParser
import BusSetup
import CloudModel
import ComputeAgent
import FoundationEssentials
import HypervisorDriver
import LibvirtDriver
import Logging
import MessageBus
import Primitives
import ServiceKit

/// The composition root of the agent.
struct ComputeProcess {
    let settings: ComputeSettings
    /// Of the settings file.
    let folder: String
    let shell: ProcessShell

    func run() async throws {
        // The host's own: the cell's conductors find out how far it is off.
        let wallClock = SystemWallClock()
        let bus: any MessageBus = try BusSetup.open(
            settings.bus, name: "compute@\(settings.host)", wallClock: wallClock, shell: shell)
        let (driver, preparation) = try makeHost()
        shell.health.watch("hypervisor") { driver.isConnected ? .up : .down("the hypervisor is out of reach") }
        let ids = SystemIDSource()
        let providerID = try ProviderIdentity.load(directory: settings.stateDirectory, ids: ids)
        let agent = AgentService(
            identity: .init(
                host: HostName(settings.host), providerID: providerID, availabilityZone: settings.availabilityZone),
            bus: bus, driver: driver,
            worker: GuestWorker(driver: driver, preparation: preparation, clock: ContinuousClock()),
            journal: try StepJournal(directory: settings.stateDirectory + "/steps", now: wallClock.now()),
            inventory: { try await inventory(driver, preparation) }, holdings: { try await preparation.holdings() },
            clock: ContinuousClock(), wallClock: wallClock, ids: ids, logger: shell.logger)
        try await preparation.resume()
        let ops = OpsServer(
            settings: settings.ops, health: shell.health, metrics: shell.metrics, logger: shell.logger)
        try await shell.run([ops, agent])
        await driver.close()
        await bus.close()
    }

    private func makeHost() throws -> (any HypervisorDriver, any GuestPreparation) {
        switch settings.hypervisor.driver {
        case "simulated":
            let driver = try SimulatedHypervisor(
                vcpus: settings.capacity?.vcpus ?? 64, memoryMiB: settings.capacity?.memoryMiB ?? 262_144,
                hostname: settings.host, directory: settings.stateDirectory + "/guests")
            return (driver, SimulatedGuestPreparation(diskGiB: settings.capacity?.diskGiB ?? 10_000))
        case "libvirt":
            guard let virtType = VirtTypeSetting(rawValue: settings.hypervisor.virtType ?? "auto") else {
                throw ValidationError("hypervisor.virtType is not auto, kvm or qemu")
            }
            let driver = LibvirtHypervisor(.init(uri: settings.hypervisor.uri ?? "qemu:///system", virtType: virtType))
            let preparation = LinuxGuestPreparation(
                directory: settings.stateDirectory, imageURL: settings.imageURL,
                imageReplicasFile: folder + "/image-replicas",
                imageAuthority: settings.imageAuthority,
                commands: SystemCommands())
            return (driver, preparation)
        default:
            throw ValidationError("hypervisor.driver: `\(settings.hypervisor.driver)` is not libvirt or simulated")
        }
    }

    private func inventory(
        _ driver: any HypervisorDriver, _ preparation: any GuestPreparation
    ) async throws -> HostInventory {
        let found = try await driver.capabilities()
        shell.logger.info(
            "hypervisor", metadata: ["virt.type": "\(found.virtType)", "virt.reason": "\(found.virtTypeReason)"])
        var diskGiB = settings.capacity?.diskGiB
        if diskGiB == nil { diskGiB = try await preparation.diskGiB() }
        let isSimulated = found.virtType == "simulated"
        return HostInventory(
            vcpus: settings.capacity?.vcpus ?? found.vcpus, memoryMiB: settings.capacity?.memoryMiB ?? found.memoryMiB,
            diskGiB: diskGiB ?? 0,
            hypervisorType: found.virtType == "qemu" ? "QEMU" : found.virtType, hypervisorVersion: found.version,
            hypervisorHostname: settings.host, hostIP: HostAddress.towards(settings.bus.host) ?? "127.0.0.1",
            cpuArchitecture: found.architecture, cpuModel: found.cpuModel,
            reservedMemoryMiB: isSimulated ? 0 : 512, agentVersion: shell.version)
    }
}

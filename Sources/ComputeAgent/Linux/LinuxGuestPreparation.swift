package import CellProtocol
package import CloudModel
import FoundationEssentials
package import HypervisorDriver
import Primitives

#if canImport(Glibc)
    import Glibc
#endif

/// A real host's disks, networks and config drives, under one folder:
///
///     images/<image>-<digest>           fetched images, read-only
///     instances/<server>/guest.json     what the guest is, mode 0600
///                        disk.qcow2     its disk, over the image
///                        config.iso     its config drive
///                        console.log    its serial console
///     networks/<network>/hosts/<port>   addresses for dnsmasq
package struct LinuxGuestPreparation: GuestPreparation {
    private let directory: String
    private let commands: any HostCommands
    private let images: ImageCache
    private let network: HostNetwork

    package init(
        directory: String, imageURL: String, imageReplicasFile: String? = nil, imageAuthority: String? = nil,
        commands: any HostCommands, kernel: KernelFiles = KernelFiles()
    ) {
        self.directory = directory
        self.commands = commands
        images = ImageCache(
            directory: directory + "/images", imageURL: imageURL, replicasFile: imageReplicasFile,
            authority: imageAuthority)
        network = HostNetwork(commands: commands, directory: directory + "/networks", kernel: kernel)
    }

    private var instances: String { directory + "/instances" }
    private func folder(_ id: ServerID) -> String { "\(instances)/\(id)" }

    package func prepare(_ guest: GuestSpecification) async throws(GuestFailure) -> GuestDefinition {
        try await attempt("prepare the guest") {
            try FileManager.default.createDirectory(atPath: folder(guest.id), withIntermediateDirectories: true)
            try record(guest)
            try await makeDisk(guest)
            try await makeConfigDrive(guest)
            try await network.realise(guest.interfaces, hostname: guest.hostname, all: try allInterfaces())
        }
        return definition(guest)
    }

    package func restore(_ guest: GuestSpecification) async throws(GuestFailure) -> GuestDefinition {
        guard guest.image == nil || FileManager.default.fileExists(atPath: diskPath(guest.id)) else {
            throw GuestFailure(
                reason: "The server's disk is not on its host.", details: "no \(diskPath(guest.id))", isPermanent: true)
        }
        return try await prepare(guest)
    }

    package func remove(_ id: ServerID) async throws(GuestFailure) {
        try await attempt("remove the guest") {
            guard FileManager.default.fileExists(atPath: folder(id)) else { return }
            let interfaces = try recorded(id)?.interfaces ?? []
            let remaining = try guests().filter { $0.id != id }.flatMap(\.interfaces)
            try await network.remove(interfaces, remaining: remaining)
            try FileManager.default.removeItem(atPath: folder(id))
        }
    }

    package func holdings() async throws(GuestFailure) -> HostHoldings {
        try await attempt("look at what is here") {
            try FileManager.default.createDirectory(atPath: instances, withIntermediateDirectories: true)
            let servers = try FileManager.default.contentsOfDirectory(atPath: instances).compactMap { ServerID($0) }
            return HostHoldings(
                servers: Set(servers), strayPorts: try await network.strayPorts(besides: try allInterfaces()))
        }
    }

    package func release(_ ports: [PortID]) async throws(GuestFailure) {
        try await attempt("take ports away") { try await network.release(ports, besides: try allInterfaces()) }
    }

    /// After a start of the agent or the host: networks of the guests that are here.
    package func resume() async throws(GuestFailure) {
        try await attempt("resume networks") {
            let guests = try guests()
            let all = guests.flatMap(\.interfaces)
            for guest in guests { try await network.realise(guest.interfaces, hostname: guest.hostname, all: all) }
        }
    }

    package func diskGiB() async throws(GuestFailure) -> Int {
        try await attempt("measure the disk") {
            try FileManager.default.createDirectory(atPath: instances, withIntermediateDirectories: true)
            var facts = statvfs()
            guard statvfs(instances, &facts) == 0 else {
                throw GuestFailure(reason: "The host's disk can't be measured.", details: instances, isPermanent: false)
            }
            return Int(UInt64(facts.f_blocks) * UInt64(facts.f_frsize) / (1 << 30))
        }
    }

    // MARK: What is here

    private func recordPath(_ id: ServerID) -> String { folder(id) + "/guest.json" }
    private func diskPath(_ id: ServerID) -> String { folder(id) + "/disk.qcow2" }
    private func drivePath(_ id: ServerID) -> String { folder(id) + "/config.iso" }

    private func record(_ guest: GuestSpecification) throws {
        var kept = guest
        kept.ticket = nil  // leave to fetch is not kept longer than it is needed
        let path = recordPath(guest.id)
        try JSONEncoder().encode(kept).write(to: URL(filePath: path), options: .atomic)
        chmod(path, 0o600)
    }

    private func recorded(_ id: ServerID) throws -> GuestSpecification? {
        guard let data = FileManager.default.contents(atPath: recordPath(id)) else { return nil }
        return try JSONDecoder().decode(GuestSpecification.self, from: data)
    }

    private func guests() throws -> [GuestSpecification] {
        try FileManager.default.createDirectory(atPath: instances, withIntermediateDirectories: true)
        return try FileManager.default.contentsOfDirectory(atPath: instances).compactMap { name in
            guard let id = ServerID(name) else { return nil }
            return try recorded(id)
        }
    }

    private func allInterfaces() throws -> [NetworkInterface] { try guests().flatMap(\.interfaces) }

    private func definition(_ guest: GuestSpecification) -> GuestDefinition {
        GuestDefinition(
            id: guest.id, displayName: guest.name, vcpus: guest.vcpus, memoryMiB: guest.memoryMiB,
            rootDisk: guest.image == nil ? nil : .init(path: diskPath(guest.id), format: "qcow2"),
            configDrivePath: drivePath(guest.id),
            cards: guest.interfaces.map {
                .init(tapName: DeviceNames.tap($0.portID), macAddress: $0.macAddress, mtu: $0.mtu)
            },
            consoleLogPath: folder(guest.id) + "/console.log")
    }

    // MARK: Disk and drive

    private func makeDisk(_ guest: GuestSpecification) async throws {
        let path = diskPath(guest.id)
        guard let image = guest.image, !FileManager.default.fileExists(atPath: path) else { return }
        let base = try await images.fetch(image, ticket: guest.ticket)
        let wanted = UInt64(guest.diskGiB) << 30
        guard wanted == 0 || wanted >= base.virtualSizeBytes else {
            throw GuestFailure(
                reason: "The flavor's disk is too small for the image.",
                details: "\(guest.diskGiB) GiB for \(base.virtualSizeBytes) bytes", isPermanent: true)
        }
        let partial = path + ".part"
        try await commands.run(
            "qemu-img", "create", "-q", "-f", "qcow2", "-F", base.format, "-b", base.path, partial,
            "\(max(wanted, base.virtualSizeBytes))")
        try FileManager.default.moveItem(atPath: partial, toPath: path)
    }

    private func makeConfigDrive(_ guest: GuestSpecification) async throws {
        let path = drivePath(guest.id)
        guard !FileManager.default.fileExists(atPath: path) else { return }
        let root = folder(guest.id) + "/config"
        if FileManager.default.fileExists(atPath: root) { try FileManager.default.removeItem(atPath: root) }
        for (name, content) in try ConfigDrive(guest).files() {
            let file = URL(filePath: "\(root)/\(name)")
            try FileManager.default.createDirectory(
                at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
            try content.write(to: file)
        }
        let partial = path + ".part"
        try await commands.run("genisoimage", "-quiet", "-V", "config-2", "-r", "-J", "-o", partial, root)
        try FileManager.default.moveItem(atPath: partial, toPath: path)
        chmod(path, 0o600)
        try FileManager.default.removeItem(atPath: root)
    }

    private func attempt<Result: Sendable>(
        _ what: String, _ body: () async throws -> Result
    ) async throws(GuestFailure) -> Result {
        do {
            return try await body()
        } catch let failure as GuestFailure {
            throw failure
        } catch {
            throw GuestFailure(
                reason: "The host could not \(what).", details: "\(what): \(error)", isPermanent: false)
        }
    }
}

import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import Primitives

/// Turns an order into servers: looks up what it names, checks that they fit, and hands them to the root to be accepted.
struct ServerCreation: Sendable {
    private static let bytesPerGiB: Int64 = 1 << 30

    private let dependencies: ComputeDependencies

    init(_ dependencies: ComputeDependencies) { self.dependencies = dependencies }

    func create(_ order: ServerOrder, _ request: ComputeRequest) async throws -> [Instance] {
        let flavor = try await flavor(order.flavorID, request)
        let image = try await image(order, flavor, request)
        let publicKey = try await publicKey(order.keyName, request)
        let forcedHost = try await checkPlace(order)
        let quota = try await dependencies.quotas.quota(of: request.project)
        let userQuota = try await dependencies.quotas.quota(of: request.project, user: request.userID)
        let metadataLimit = (userQuota ?? quota).metadataItems
        if metadataLimit >= 0, order.metadata.count > metadataLimit {
            throw QuotaExceeded(
                resource: "metadata_items", requested: order.metadata.count, used: 0, limit: metadataLimit)
        }
        let count = try await count(order, flavor, quota, userQuota, request)
        let ticket = try await dependencies.tickets.ticket(for: image.id)
        let reservation: Identifier<Never> = request.repeatableID("reservation") ?? dependencies.ids.next()
        let reservationID = "r-" + String(reservation.hex.prefix(8))
        let now = dependencies.wallClock.now()
        let servers = (0..<count).map { index in
            let instance = instance(
                order, flavor: flavor, image: image, index: index, count: count, reservationID: reservationID, now: now,
                request)
            return NewServers.Server(
                build: BuildSpecification(
                    instance: instance, requestID: request.requestID, publicKey: publicKey, image: ticket),
                ports: PortReservation(
                    serverID: instance.id, projectID: request.project, choice: order.networks,
                    securityGroups: order.securityGroups, hostname: instance.hostname, isAdmin: request.isAdmin),
                forcedHost: forcedHost)
        }
        return try await dependencies.acceptance.accept(
            NewServers(
                servers: servers, quota: quota, userQuota: userQuota, group: order.group,
                isRepeatable: request.context.idempotencyKey != nil))
    }

    private func flavor(_ id: String, _ request: ComputeRequest) async throws -> Flavor {
        guard let record = try await dependencies.flavors.find(id: id), !record.flavor.isDisabled,
            request.isAdmin || record.isUsable(by: request.project)
        else { throw APIFault.badRequest("Flavor \(id.prefix(255)) could not be found.") }
        return record.flavor
    }

    private func image(
        _ order: ServerOrder, _ flavor: Flavor, _ request: ComputeRequest
    ) async throws -> BootableImage {
        guard let id = order.imageID,
            let image = try await dependencies.images.bootableImage(
                id, project: request.project, isAdmin: request.isAdmin)
        else { throw APIFault.badRequest("Can not find requested image") }
        guard image.status == "active" else { throw APIFault.badRequest("Image \(id) is not active.") }
        // Its disk would be as large as the image says, and the host would have to find room for it.
        guard flavor.diskGiB > 0 || request.isAdmin else {
            throw APIFault.forbidden("Only volume-backed servers are allowed for flavors with zero disk.")
        }
        guard flavor.memoryMiB >= image.minimumMemoryMiB else {
            throw APIFault.badRequest("Flavor's memory is too small for requested image.")
        }
        if flavor.diskGiB > 0 {
            let needed = max(image.virtualSizeBytes ?? 0, image.sizeBytes)
            let disk = Int64(flavor.diskGiB) * Self.bytesPerGiB
            guard needed <= disk else {
                throw APIFault.badRequest(
                    "Flavor's disk is too small for requested image. Flavor disk is \(disk) bytes, image is \(needed) "
                        + "bytes.")
            }
            guard flavor.diskGiB >= image.minimumDiskGiB else {
                throw APIFault.badRequest(
                    "Flavor's disk is smaller than the minimum size specified in image metadata. Flavor disk is "
                        + "\(flavor.diskGiB) GiB, minimum size is \(image.minimumDiskGiB) GiB.")
            }
        }
        return image
    }

    private func publicKey(_ name: String?, _ request: ComputeRequest) async throws -> String? {
        guard let name else { return nil }
        guard let pair = try await dependencies.keyPairs.find(name, of: request.userID) else {
            throw APIFault.badRequest("Invalid key_name provided.")
        }
        return pair.publicKey
    }

    /// The zone and the host that were asked for must exist.
    /// - Returns: the host to force, if any.
    private func checkPlace(_ order: ServerOrder) async throws -> HostName? {
        guard order.availabilityZone != nil || order.forcedHost != nil || order.forcedHypervisor != nil else {
            return nil
        }
        let hosts = try await dependencies.hosts.hosts().map(\.record)
        if let zone = order.availabilityZone, !hosts.contains(where: { $0.availabilityZone == zone }) {
            throw APIFault.badRequest("The requested availability zone is not available")
        }
        guard order.forcedHost != nil || order.forcedHypervisor != nil else { return nil }
        let found = hosts.first { host in
            (order.forcedHost.map { $0 == host.name.text } ?? true)
                && (order.forcedHypervisor.map { $0 == host.inventory.hypervisorHostname } ?? true)
        }
        guard let found else {
            let name = order.forcedHost ?? order.forcedHypervisor ?? ""
            throw APIFault.badRequest("Compute host \(name.prefix(255)) could not be found.")
        }
        return found.name
    }

    /// As many as the quotas leave, between the least and the most that were asked for. The acceptance checks again.
    private func count(
        _ order: ServerOrder, _ flavor: Flavor, _ quota: ComputeQuota, _ userQuota: ComputeQuota?,
        _ request: ComputeRequest
    ) async throws -> Int {
        guard order.maximumCount > order.minimumCount else { return order.minimumCount }
        let used = try await dependencies.directory.usage(of: request.project)
        let ownUse =
            userQuota == nil
            ? used : try await dependencies.directory.usage(of: request.project, user: request.userID)
        for count in stride(from: order.maximumCount, to: order.minimumCount, by: -1) {
            let added = ComputeUsage(
                instances: count, cores: count * flavor.vcpus, memoryMiB: count * flavor.memoryMiB)
            do {
                try quota.check(used: used, added: added)
                try userQuota?.check(used: ownUse, added: added)
                return count
            } catch {
                continue
            }
        }
        return order.minimumCount
    }

    private func instance(
        _ order: ServerOrder, flavor: Flavor, image: BootableImage, index: Int, count: Int, reservationID: String,
        now: Date, _ request: ComputeRequest
    ) -> Instance {
        let id: ServerID = request.repeatableID("server \(index)") ?? dependencies.ids.next()
        let name = count == 1 ? order.name : "\(order.name)-\(index + 1)"
        var instance = Instance(
            id: id, projectID: request.project, userID: request.userID, name: name,
            hostname: order.hostname ?? Self.hostname(name, id: id), flavor: flavor,
            image: ImageReference(
                id: image.id, name: image.name, sizeBytes: image.sizeBytes, sha512: image.sha512,
                diskFormat: image.diskFormat, properties: image.properties),
            reservationID: reservationID, createdAt: now)
        instance.description = order.description ?? (request.version < 19 ? name : nil)
        instance.keyName = order.keyName
        instance.availabilityZone = order.availabilityZone
        instance.pinnedAvailabilityZone = order.availabilityZone
        instance.schedulerHints = order.schedulerHints
        instance.metadata = order.metadata
        instance.tags = order.tags
        instance.userData = order.userData
        instance.isConfigDriveWanted = order.wantsConfigDrive ?? true
        instance.diskConfig = order.diskConfig ?? "MANUAL"
        instance.accessIPv4 = order.accessIPv4
        instance.accessIPv6 = order.accessIPv6
        instance.launchIndex = index
        return instance
    }

    /// A DNS label made from a name: what can't be in one falls away.
    static func hostname(_ name: String, id: ServerID) -> String {
        var label = ""
        for scalar in name.lowercased().unicodeScalars {
            switch scalar {
            case " ", "_", "-": label.append("-")
            case "a"..."z", "0"..."9": label.unicodeScalars.append(scalar)
            case ".": label.append("-")
            default: break
            }
        }
        label = String(label.drop { $0 == "-" }.prefix(63))
        while label.hasSuffix("-") { label.removeLast() }
        return label.isEmpty ? "server-\(id)" : label
    }
}

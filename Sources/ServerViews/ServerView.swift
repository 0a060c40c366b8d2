package import CellProtocol
package import CloudModel
package import FoundationEssentials
package import Primitives

/// Renders servers as the compute API shows them, for one ``ServerViewContext``.
///
/// A leaf cell calls it for its own servers and the API for those that have no cell yet, so both look the same.
package struct ServerView: Sendable {
    /// What a server's host adds to its view; nil while it has none.
    package struct Host: Sendable, Equatable {
        package var hypervisorHostname: String
        package var isUp: Bool
        package var isEnabled: Bool

        package init(hypervisorHostname: String, isUp: Bool, isEnabled: Bool) {
            self.hypervisorHostname = hypervisorHostname
            self.isUp = isUp
            self.isEnabled = isEnabled
        }

        package init(_ record: HostRecord) {
            self.init(
                hypervisorHostname: record.inventory.hypervisorHostname, isUp: record.isUp, isEnabled: record.isEnabled)
        }
    }

    package let context: ServerViewContext
    private let version: Int
    private let links: ResourceLinks

    package init(_ context: ServerViewContext) {
        self.context = context
        version = context.microversion
        links = ResourceLinks(computeURL: context.computeURL)
    }

    /// JSON of the server object, without the `server` wrapper.
    package func render(_ instance: Instance, host: Host?) -> Data {
        var writer = JSONWriter(capacity: context.detail == .brief ? 384 : 2048)
        write(instance, host: host, to: &writer)
        return Data(writer.bytes)
    }

    /// The server object as an element of an array or as the whole document.
    package func write(_ instance: Instance, host: Host?, to writer: inout JSONWriter) {
        writer.object { writer in
            switch context.detail {
            case .brief: writeBrief(instance, to: &writer)
            case .full, .single: writeFull(instance, host: host, to: &writer)
            case .updated where version >= 75: writeFull(instance, host: host, to: &writer)
            case .updated: writeCore(instance, to: &writer)
            }
        }
    }

    private func writeBrief(_ instance: Instance, to writer: inout JSONWriter) {
        writer.field("id", instance.id.description)
        writer.field("name", instance.name)
        links.write("servers", instance.id.description, to: &writer)
    }

    private func writeFull(_ instance: Instance, host: Host?, to writer: inout JSONWriter) {
        writeCore(instance, to: &writer)
        writer.field("config_drive", instance.isConfigDriveWanted ? "True" : "")
        writer.field("key_name", instance.keyName)
        writer.field("OS-EXT-AZ:availability_zone", instance.availabilityZone ?? "")
        writer.field("OS-EXT-STS:power_state", instance.state.power.rawValue)
        writer.field("OS-EXT-STS:task_state", instance.state.task?.rawValue)
        writer.field("OS-EXT-STS:vm_state", instance.state.vm.rawValue)
        writer.field("OS-SRV-USG:launched_at", instance.launchedAt.map(Timestamp.naiveMicroseconds))
        writer.field("OS-SRV-USG:terminated_at", instance.terminatedAt.map(Timestamp.naiveMicroseconds))
        writer.array("os-extended-volumes:volumes_attached") { _ in }
        if !instance.securityGroups.isEmpty {
            writer.array("security_groups") { writer in
                for group in instance.securityGroups { writer.object { $0.field("name", group) } }
            }
        }
        if version >= 90 || (context.isAdmin && version >= 3) {
            writer.field("OS-EXT-SRV-ATTR:hostname", instance.hostname)
        }
        if version >= 96 { writer.field("pinned_availability_zone", instance.pinnedAvailabilityZone) }
        if version >= 100 { writer.field("scheduler_hints", instance.schedulerHints ?? .object([:])) }
        if context.isAdmin { writeAdministration(instance, host: host, to: &writer) }
    }

    /// What every answer with a whole server has, `PUT` below 2.75 included.
    private func writeCore(_ instance: Instance, to writer: inout JSONWriter) {
        let status = instance.state.status
        writer.field("id", instance.id.description)
        writer.field("name", instance.name)
        writer.field("status", status)
        writer.field("tenant_id", instance.projectID.text)
        writer.field("user_id", instance.userID.text)
        writer.field("metadata", instance.metadata)
        writer.field("hostId", HostID.text(project: instance.projectID, host: instance.host))
        writeImage(instance.image, to: &writer)
        writeFlavor(instance.flavor, to: &writer)
        writer.field("created", Timestamp.seconds(instance.createdAt))
        writer.field("updated", Timestamp.seconds(instance.updatedAt))
        writeAddresses(instance.interfaces, to: &writer)
        writer.field("accessIPv4", instance.accessIPv4 ?? "")
        writer.field("accessIPv6", instance.accessIPv6 ?? "")
        links.write("servers", instance.id.description, to: &writer)
        writer.field("OS-DCF:diskConfig", instance.diskConfig)
        if ["ACTIVE", "BUILD"].contains(status) { writer.field("progress", 0) }
        if ["ERROR", "DELETED"].contains(status), let fault = instance.fault { writeFault(fault, to: &writer) }
        if version >= 9 { writer.field("locked", instance.isLocked) }
        if version >= 19 { writer.field("description", instance.description) }
        if version >= 26 { writer.field("tags", instance.tags) }
        if version >= 63 { writer.null("trusted_image_certificates") }
        if version >= 71 && context.detail != .full {
            writer.field("server_groups", context.serverGroup.map { [$0.description] } ?? [])
        }
        if version >= 73 { writer.field("locked_reason", instance.isLocked ? instance.lockedReason : nil) }
    }

    private func writeImage(_ image: ImageReference?, to writer: inout JSONWriter) {
        guard let image else {
            writer.field("image", "")
            return
        }
        writer.object("image") { writer in
            writer.field("id", image.id.description)
            links.writeBookmark("images", image.id.description, to: &writer)
            if version >= 98 { writer.field("properties", image.properties) }
        }
    }

    func writeFlavor(_ flavor: Flavor, to writer: inout JSONWriter) {
        writer.object("flavor") { writer in
            guard version >= 47 else {
                writer.field("id", flavor.id)
                links.writeBookmark("flavors", flavor.id, to: &writer)
                return
            }
            writer.field("original_name", flavor.name)
            writer.field("vcpus", flavor.vcpus)
            writer.field("ram", flavor.memoryMiB)
            writer.field("disk", flavor.diskGiB)
            writer.field("ephemeral", flavor.ephemeralGiB)
            writer.field("swap", flavor.swapMiB)
            writer.field("extra_specs", flavor.extraSpecs)
        }
    }

    private func writeAddresses(_ interfaces: [NetworkInterface], to writer: inout JSONWriter) {
        var names: [String] = []
        for interface in interfaces where !interface.addresses.isEmpty && !names.contains(interface.networkName) {
            names.append(interface.networkName)
        }
        let isExtended = context.detail != .updated || version >= 75
        writer.object("addresses") { writer in
            for name in names {
                writer.array(name) { writer in
                    for interface in interfaces where interface.networkName == name {
                        AddressView.write(interface, isExtended: isExtended, to: &writer)
                    }
                }
            }
        }
    }

    private func writeFault(_ fault: InstanceFault, to writer: inout JSONWriter) {
        writer.object("fault") { writer in
            writer.field("code", fault.code)
            writer.field("created", Timestamp.seconds(fault.createdAt))
            writer.field("message", fault.message)
            if let details = fault.details, context.isAdmin || fault.code != 500 { writer.field("details", details) }
        }
    }

    private func writeAdministration(_ instance: Instance, host: Host?, to writer: inout JSONWriter) {
        writer.field("OS-EXT-SRV-ATTR:host", instance.host?.text)
        writer.field("OS-EXT-SRV-ATTR:hypervisor_hostname", instance.host.flatMap { _ in host?.hypervisorHostname })
        writer.field("OS-EXT-SRV-ATTR:instance_name", instance.id.guestName)
        if version >= 3 {
            writer.field("OS-EXT-SRV-ATTR:reservation_id", instance.reservationID)
            writer.field("OS-EXT-SRV-ATTR:launch_index", instance.launchIndex)
            writer.field("OS-EXT-SRV-ATTR:kernel_id", "")
            writer.field("OS-EXT-SRV-ATTR:ramdisk_id", "")
            writer.field("OS-EXT-SRV-ATTR:root_device_name", Instance.rootDeviceName)
            writer.field("OS-EXT-SRV-ATTR:user_data", instance.userData)
        }
        if version >= 16 { writer.field("host_status", hostStatus(instance, host)) }
    }

    private func hostStatus(_ instance: Instance, _ host: Host?) -> String {
        guard instance.host != nil else { return "" }
        guard let host else { return "UNKNOWN" }
        guard host.isEnabled else { return "MAINTENANCE" }
        return host.isUp ? "UP" : "UNKNOWN"
    }
}

import FoundationEssentials
package import Primitives

// A parent reads and writes one for every host that joins or changes below it.

extension HostRecord: JSONReadable {
    private static let required = 10

    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        self.init(
            name: "", id: .unread, cell: .root, availabilityZone: "", inventory: .unread, seenAt: .distantPast)
        var found = 0
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            found += 1
            switch key {
            case "name": name = HostName(try reader.string())
            case "id": id = try ProviderID(&reader)
            case "cell": cell = try reader.named { CellPath($0) }
            case "availabilityZone": availabilityZone = try reader.string()
            case "isEnabled": isEnabled = try reader.bool()
            case "isUp": isUp = try reader.bool()
            case "lastSeenAt": lastSeenAt = try reader.date()
            case "inventory": inventory = try HostInventory(&reader)
            case "createdAt": createdAt = try reader.date()
            case "updatedAt": updatedAt = try reader.date()
            default:
                found -= 1
                if key.is("disabledReason") { disabledReason = try reader.optionalString() } else { try reader.skip() }
            }
        }
        guard found == Self.required else { throw reader.error("a host without all its members") }
    }
}

extension HostRecord: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("name", name.text)
        writer.field("id", id.description)
        writer.field("cell", cell.description)
        writer.field("availabilityZone", availabilityZone)
        writer.field("isEnabled", isEnabled)
        writer.field("disabledReason", ifAny: disabledReason)
        writer.field("isUp", isUp)
        writer.field("lastSeenAt", lastSeenAt)
        writer.field("inventory", inventory)
        writer.field("createdAt", createdAt)
        writer.field("updatedAt", updatedAt)
    }
}

extension HostInventory: JSONReadable {
    fileprivate static let unread = HostInventory(
        vcpus: 0, memoryMiB: 0, diskGiB: 0, hypervisorType: "", hypervisorVersion: 0, hypervisorHostname: "",
        hostIP: "", agentVersion: "")
    private static let required = 14

    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        self = .unread
        var found = 0
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            if try readResource(key, &reader) {
                found += 1
            } else if try readSystem(key, &reader) {
                found += 1
            } else {
                try reader.skip()
            }
        }
        guard found == Self.required else { throw reader.error("an inventory without all its members") }
    }

    private mutating func readResource(_ key: JSONKey, _ reader: inout JSONReader) throws(JSONSyntaxError) -> Bool {
        switch key {
        case "vcpus": vcpus = try reader.integer()
        case "memoryMiB": memoryMiB = try reader.integer()
        case "diskGiB": diskGiB = try reader.integer()
        case "cpuAllocationRatio": cpuAllocationRatio = try reader.double()
        case "memoryAllocationRatio": memoryAllocationRatio = try reader.double()
        case "diskAllocationRatio": diskAllocationRatio = try reader.double()
        case "reservedMemoryMiB": reservedMemoryMiB = try reader.integer()
        default: return false
        }
        return true
    }

    private mutating func readSystem(_ key: JSONKey, _ reader: inout JSONReader) throws(JSONSyntaxError) -> Bool {
        switch key {
        case "hypervisorType": hypervisorType = try reader.string()
        case "hypervisorVersion": hypervisorVersion = try reader.integer()
        case "hypervisorHostname": hypervisorHostname = try reader.string()
        case "hostIP": hostIP = try reader.string()
        case "cpuArchitecture": cpuArchitecture = try reader.string()
        case "cpuModel": cpuModel = try reader.string()
        case "agentVersion": agentVersion = try reader.string()
        default: return false
        }
        return true
    }
}

extension HostInventory: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("vcpus", vcpus)
        writer.field("memoryMiB", memoryMiB)
        writer.field("diskGiB", diskGiB)
        writer.field("hypervisorType", hypervisorType)
        writer.field("hypervisorVersion", hypervisorVersion)
        writer.field("hypervisorHostname", hypervisorHostname)
        writer.field("hostIP", hostIP)
        writer.field("cpuArchitecture", cpuArchitecture)
        writer.field("cpuModel", cpuModel)
        writer.field("cpuAllocationRatio", cpuAllocationRatio)
        writer.field("memoryAllocationRatio", memoryAllocationRatio)
        writer.field("diskAllocationRatio", diskAllocationRatio)
        writer.field("reservedMemoryMiB", reservedMemoryMiB)
        writer.field("agentVersion", agentVersion)
    }
}

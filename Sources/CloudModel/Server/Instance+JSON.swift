import FoundationEssentials
package import Primitives

// A page of a list reads a hundred of these documents; a decoder takes a tenth of a millisecond for each.

extension Instance: JSONReadable {
    private static let required = 20

    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        self.init(
            id: .unread, projectID: "", userID: "", name: "", hostname: "", flavor: .unread, image: nil,
            reservationID: "", createdAt: .distantPast)
        var found = 0
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            if try readIdentity(key, &reader) {
                found += 1
            } else if try readState(key, &reader) {
                found += 1
            } else if try readShape(key, &reader) {
                found += 1
            } else if try !readOptional(key, &reader) {
                try reader.skip()
            }
        }
        guard found == Self.required else { throw reader.error("a server without all its members") }
    }

    private mutating func readIdentity(_ key: JSONKey, _ reader: inout JSONReader) throws(JSONSyntaxError) -> Bool {
        switch key {
        case "id": id = try ServerID(&reader)
        case "projectID": projectID = ProjectID(try reader.string())
        case "userID": userID = UserID(try reader.string())
        case "name": name = try reader.string()
        case "hostname": hostname = try reader.string()
        case "reservationID": reservationID = try reader.string()
        case "launchIndex": launchIndex = try reader.integer()
        default: return false
        }
        return true
    }

    private mutating func readState(_ key: JSONKey, _ reader: inout JSONReader) throws(JSONSyntaxError) -> Bool {
        switch key {
        case "state": state = try ServerState(&reader)
        case "version": version = try reader.integer()
        case "epoch": epoch = try reader.integer()
        case "isLocked": isLocked = try reader.bool()
        case "createdAt": createdAt = try reader.date()
        case "updatedAt": updatedAt = try reader.date()
        default: return false
        }
        return true
    }

    private mutating func readShape(_ key: JSONKey, _ reader: inout JSONReader) throws(JSONSyntaxError) -> Bool {
        switch key {
        case "flavor": flavor = try Flavor(&reader)
        case "metadata": metadata = try reader.stringMembers()
        case "tags": tags = try reader.strings()
        case "interfaces": interfaces = try reader.values()
        case "securityGroups": securityGroups = try reader.strings()
        case "isConfigDriveWanted": isConfigDriveWanted = try reader.bool()
        case "diskConfig": diskConfig = try reader.string()
        default: return false
        }
        return true
    }

    private mutating func readOptional(_ key: JSONKey, _ reader: inout JSONReader) throws(JSONSyntaxError) -> Bool {
        switch key {
        case "description": description = try reader.optionalString()
        case "image": image = try reader.optional { reader throws(JSONSyntaxError) in try ImageReference(&reader) }
        case "keyName": keyName = try reader.optionalString()
        case "availabilityZone": availabilityZone = try reader.optionalString()
        case "pinnedAvailabilityZone": pinnedAvailabilityZone = try reader.optionalString()
        case "schedulerHints":
            schedulerHints = try reader.optional { reader throws(JSONSyntaxError) in try reader.value() }
        case "host": host = try reader.optionalString().map { HostName($0) }
        case "userData": userData = try reader.optionalString()
        case "accessIPv4": accessIPv4 = try reader.optionalString()
        case "accessIPv6": accessIPv6 = try reader.optionalString()
        case "lockedReason": lockedReason = try reader.optionalString()
        case "launchedAt": launchedAt = try reader.optional { reader throws(JSONSyntaxError) in try reader.date() }
        case "terminatedAt": terminatedAt = try reader.optional { reader throws(JSONSyntaxError) in try reader.date() }
        case "fault": fault = try reader.optional { reader throws(JSONSyntaxError) in try InstanceFault(&reader) }
        default: return false
        }
        return true
    }
}

extension Identifier {
    /// Until the member is read.
    static var unread: Self { Self(UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))) }
}

extension ServerState: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var vm: VMState?
        var task: TaskState?
        var power: PowerState?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "vm": vm = try reader.named(VMState.init(rawValue:))
            case "task":
                task = try reader.optional { reader throws(JSONSyntaxError) in
                    try reader.named(TaskState.init(rawValue:))
                }
            case "power": power = PowerState(rawValue: try reader.integer())
            default: try reader.skip()
            }
        }
        guard let vm, let power else { throw reader.error("no state of a server") }
        self.init(vm: vm, task: task, power: power)
    }
}

extension Flavor: JSONReadable {
    fileprivate static let unread = Flavor(id: "", name: "", vcpus: 0, memoryMiB: 0, diskGiB: 0)
    private static let required = 11

    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        self = .unread
        var found = 0
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            found += 1
            switch key {
            case "id": id = try reader.string()
            case "name": name = try reader.string()
            case "vcpus": vcpus = try reader.integer()
            case "memoryMiB": memoryMiB = try reader.integer()
            case "diskGiB": diskGiB = try reader.integer()
            case "ephemeralGiB": ephemeralGiB = try reader.integer()
            case "swapMiB": swapMiB = try reader.integer()
            case "rxtxFactor": rxtxFactor = try reader.double()
            case "isPublic": isPublic = try reader.bool()
            case "isDisabled": isDisabled = try reader.bool()
            case "extraSpecs": extraSpecs = try reader.stringMembers()
            default:
                found -= 1
                if key.is("description") { description = try reader.optionalString() } else { try reader.skip() }
            }
        }
        guard found == Self.required else { throw reader.error("a flavor without all its members") }
    }
}

extension ImageReference: JSONReadable {
    private static let required = 6

    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        self.init(id: .unread, name: "", sizeBytes: 0, sha512: "", diskFormat: "")
        var found = 0
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            found += 1
            switch key {
            case "id": id = try ImageID(&reader)
            case "name": name = try reader.string()
            case "sizeBytes": sizeBytes = try reader.integer()
            case "sha512": sha512 = try reader.string()
            case "diskFormat": diskFormat = try reader.string()
            case "properties": properties = try reader.stringMembers()
            default:
                found -= 1
                try reader.skip()
            }
        }
        guard found == Self.required else { throw reader.error("an image without all its members") }
    }
}

extension InstanceFault: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var code: Int?
        var message: String?
        var details: String?
        var createdAt: Date?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "code": code = try reader.integer()
            case "message": message = try reader.string()
            case "details": details = try reader.optionalString()
            case "createdAt": createdAt = try reader.date()
            default: try reader.skip()
            }
        }
        guard let code, let message, let createdAt else { throw reader.error("a fault without all its members") }
        self.init(code: code, message: message, details: details, createdAt: createdAt)
    }
}

extension NetworkInterface: JSONReadable {
    private static let required = 8

    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        self.init(
            portID: .unread, networkID: .unread, networkName: "", macAddress: "", addresses: [])
        var found = 0
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            found += 1
            switch key {
            case "portID": portID = try PortID(&reader)
            case "networkID": networkID = try NetworkID(&reader)
            case "networkName": networkName = try reader.string()
            case "macAddress": macAddress = try reader.string()
            case "addresses": addresses = try reader.values()
            case "mtu": mtu = try reader.integer()
            case "securityRules": securityRules = try reader.values()
            case "isOwned": isOwned = try reader.bool()
            default:
                found -= 1
                if key.is("tag") { tag = try reader.optionalString() } else { try reader.skip() }
            }
        }
        guard found == Self.required else { throw reader.error("a network card without all its members") }
    }
}

extension NetworkInterface.FixedAddress: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var subnetID: SubnetID?
        var address: String?
        var prefixLength: Int?
        var gateway: String?
        var nameServers: [String]?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "subnetID": subnetID = try SubnetID(&reader)
            case "address": address = try reader.string()
            case "prefixLength": prefixLength = try reader.integer()
            case "gateway": gateway = try reader.optionalString()
            case "nameServers": nameServers = try reader.strings()
            default: try reader.skip()
            }
        }
        guard let subnetID, let address, let prefixLength, let nameServers else {
            throw reader.error("an address without all its members")
        }
        self.init(
            subnetID: subnetID, address: address, prefixLength: prefixLength, gateway: gateway,
            nameServers: nameServers)
    }
}

extension SecurityRule: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var direction: Direction?
        var etherType: String?
        var (ipProtocol, remotePrefix): (String?, String?)
        var (portMinimum, portMaximum): (Int?, Int?)
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "direction": direction = try reader.named(Direction.init(rawValue:))
            case "etherType": etherType = try reader.string()
            case "ipProtocol": ipProtocol = try reader.optionalString()
            case "portMinimum":
                portMinimum = try reader.optional { reader throws(JSONSyntaxError) in try reader.integer() }
            case "portMaximum":
                portMaximum = try reader.optional { reader throws(JSONSyntaxError) in try reader.integer() }
            case "remotePrefix": remotePrefix = try reader.optionalString()
            default: try reader.skip()
            }
        }
        guard let direction, let etherType else { throw reader.error("a rule without all its members") }
        self.init(
            direction: direction, etherType: etherType, ipProtocol: ipProtocol, portMinimum: portMinimum,
            portMaximum: portMaximum, remotePrefix: remotePrefix)
    }
}

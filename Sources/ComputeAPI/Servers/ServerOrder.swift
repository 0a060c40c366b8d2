import CloudModel
import FoundationEssentials
package import HTTPKit
import Primitives

/// What `POST /servers` asks for, checked as far as the text alone allows.
package struct ServerOrder: Sendable {
    /// Servers of one request.
    package static let countLimit = 1000
    private static let tagLimit = 50
    private static let tagLengthLimit = 60
    /// Characters of base64 text.
    private static let userDataLimit = 65_535

    package internal(set) var name = ""
    var imageID: ImageID?
    var flavorID = ""
    package internal(set) var metadata: [String: String] = [:]
    var networks = PortReservation.Choice.automatic
    var diskConfig: String?
    var accessIPv4: String?
    var accessIPv6: String?
    var availabilityZone: String?
    var keyName: String?
    var wantsConfigDrive: Bool?
    package internal(set) var minimumCount = 1
    package internal(set) var maximumCount = 1
    var wantsReservationID = false
    var userData: String?
    var securityGroups: [String] = []
    var description: String?
    var tags: [String] = []
    package internal(set) var hostname: String?
    var adminPassword: String?
    /// Administrators' choice, from `az:host` or, as of 2.74, `host` or `hypervisor_hostname`.
    var forcedHost: String?
    var forcedHypervisor: String?
    var schedulerHints: JSONValue?
    /// A hint of those.
    var group: ServerGroupID?

    /// What decides beside the text.
    package struct Terms: Sendable {
        /// The minor of 2.N.
        var version: Int
        var isAdmin: Bool

        package init(version: Int, isAdmin: Bool) {
            self.version = version
            self.isAdmin = isAdmin
        }
    }

    static func read(_ request: ComputeRequest) async throws -> ServerOrder {
        let terms = Terms(version: request.version, isAdmin: request.isAdmin)
        return try read(try await request.body(), terms)
    }

    /// - Parameter document: the request's body.
    /// - Throws: a 400 or a 403 that says what is wrong.
    package static func read(_ document: JSONObjectReader, _ terms: Terms) throws(APIFault) -> ServerOrder {
        var outer = document
        var body = try outer.requiredObject("server")
        var order = ServerOrder()
        for key in ["os:scheduler_hints", "OS-SCH-HNT:scheduler_hints"] where outer.has(key) {
            let hints = outer.value(key)
            guard case .object? = hints else { throw outer.invalid(key, hints ?? .null, "is not of type 'object'") }
            order.schedulerHints = hints
        }
        let hints = SchedulerHints(order.schedulerHints)
        if let name = hints.malformed.first {
            throw outer.invalid(name, order.schedulerHints?[name] ?? .null, "is not a 'uuid'")
        }
        order.group = hints.group
        try outer.finish()
        try order.readBasics(&body)
        try order.readPlacement(&body, terms)
        try order.readBlockDevices(&body)
        try order.readNetworks(&body, terms)
        try order.readExtras(&body, terms)
        try body.finish()
        guard order.imageID != nil else { throw APIFault.badRequest("Invalid imageRef provided.") }
        if order.maximumCount > 1, let reason = order.networks.reasonForOne { throw APIFault.badRequest(reason) }
        return order
    }

    private mutating func readBasics(_ body: inout JSONObjectReader) throws(APIFault) {
        name = try body.requiredName()
        guard let reference = body.value("flavorRef") else { throw body.missing("flavorRef") }
        switch reference {
        case .string(let text) where !text.isEmpty && text.utf8.count <= 255: flavorID = Self.lastComponent(text)
        case .integer(let number): flavorID = String(number)
        case .string, .null, .bool, .number, .array, .object:
            throw body.invalid("flavorRef", reference, "is not a flavor's id")
        }
        if let text = try body.string("imageRef"), !text.isEmpty {
            guard let id = ImageID(Self.lastComponent(text)) else {
                throw body.invalid("imageRef", .string(text), "is not an image's id")
            }
            imageID = id
        }
        metadata = try body.textMap("metadata") ?? [:]
        try Self.checkMetadataKeys(metadata)
        diskConfig = try Self.diskConfig(&body)
        accessIPv4 = try Self.accessAddress(&body, "accessIPv4", isVersion4: true)
        accessIPv6 = try Self.accessAddress(&body, "accessIPv6", isVersion4: false)
        keyName = try body.string("key_name", length: 1...255)
        if body.has("config_drive") { wantsConfigDrive = try body.looseBool("config_drive") }
        adminPassword = try body.string("adminPass", length: 0...255)
        wantsReservationID = try body.looseBool("return_reservation_id") ?? false
        let least = try body.integer("min_count", in: 1...Int.max, acceptsText: true)
        let most = try body.integer("max_count", in: 1...Int.max, acceptsText: true)
        minimumCount = least ?? 1
        maximumCount = most ?? minimumCount
        guard minimumCount <= maximumCount else { throw .badRequest("min_count must be <= max_count") }
        guard minimumCount <= Self.countLimit else {
            throw .badRequest("min_count must be at most \(Self.countLimit).")
        }
        maximumCount = min(maximumCount, Self.countLimit)
        if let text = try body.string("user_data") {
            guard text.utf8.count <= Self.userDataLimit else {
                throw .badRequest("User data too large. User data must be no larger than 65535 bytes.")
            }
            guard Data(base64Encoded: text) != nil else {
                throw .badRequest("User data needs to be valid base 64.")
            }
            userData = text
        }
    }

    private mutating func readPlacement(
        _ body: inout JSONObjectReader, _ terms: Terms
    ) throws(APIFault) {
        if let zone = try body.string("availability_zone", length: 1...255) {
            let parts = zone.split(separator: ":", omittingEmptySubsequences: false).map(String.init)
            guard parts.count <= 3 else { throw .badRequest("The requested availability zone is not available") }
            availabilityZone = parts[0].isEmpty ? nil : parts[0]
            if parts.count > 1, !parts[1].isEmpty { forcedHost = parts[1] }
            if parts.count > 2, !parts[2].isEmpty { forcedHypervisor = parts[2] }
        }
        if terms.version >= 74 {
            if let host = try body.string("host", length: 1...255) {
                guard forcedHost == nil else {
                    throw .badRequest("Host is given twice: in availability_zone and host.")
                }
                forcedHost = host
            }
            if let name = try body.string("hypervisor_hostname", length: 1...255) { forcedHypervisor = name }
        }
        if (forcedHost != nil || forcedHypervisor != nil) && !terms.isAdmin { throw ComputeRequest.forbidden() }
    }

    /// The image as local root disk is the one mapping there is; it may be spelled out.
    private mutating func readBlockDevices(_ body: inout JSONObjectReader) throws(APIFault) {
        let volumes =
            "Block Device Mapping is Invalid: this cloud has no volumes yet; boot from an image to a local disk."
        if let old = try body.array("block_device_mapping"), !old.isEmpty { throw .badRequest(volumes) }
        guard let mappings = try body.objects("block_device_mapping_v2"), !mappings.isEmpty else { return }
        guard mappings.count == 1, var mapping = mappings.first else { throw .badRequest(volumes) }
        let source = try mapping.string("source_type")
        let destination = try mapping.string("destination_type")
        guard source == "image", destination == nil || destination == "local" else { throw .badRequest(volumes) }
        let index = try mapping.integer("boot_index", nullable: true, acceptsText: true)
        guard index == nil || index == 0 else {
            throw .badRequest("Block Device Mapping is Invalid: Boot sequence for the instance is not valid.")
        }
        let text = try mapping.requiredString("uuid")
        guard let id = ImageID(text) else { throw mapping.invalid("uuid", .string(text), "is not an image's id") }
        guard imageID == nil || imageID == id else {
            throw .badRequest("Block Device Mapping is Invalid: its image is not the imageRef.")
        }
        imageID = id
        for key in ["delete_on_termination", "no_device"] { _ = try mapping.looseBool(key) }
        for key in ["device_name", "device_type", "disk_bus", "guest_format", "tag", "volume_type"] {
            _ = try mapping.string(key, length: 0...255, nullable: true)
        }
        _ = try mapping.integer("volume_size", in: 0...Int.max, nullable: true, acceptsText: true)
        try mapping.finish()
    }

    private mutating func readNetworks(_ body: inout JSONObjectReader, _ terms: Terms) throws(APIFault) {
        guard let value = body.value("networks") else {
            if terms.version >= 37 { throw body.missing("networks") }
            return
        }
        if terms.version >= 37, let word = value.string {
            switch word {
            case "auto": networks = .automatic
            case "none": networks = .none
            default: throw body.invalid("networks", value, "is not one of ['none', 'auto'] and no list")
            }
            return
        }
        guard let elements = value.array else { throw body.invalid("networks", value, "is not of type 'array'") }
        var list: [PortReservation.Network] = []
        for (index, element) in elements.enumerated() {
            var reader = try JSONObjectReader(element, path: "networks[\(index)]")
            list.append(try Self.network(&reader, terms))
        }
        let ports = list.compactMap(\.portID)
        guard Set(ports).count == ports.count else { throw .badRequest("A port is listed twice in networks.") }
        // An empty list is what older clients send for "as you think best".
        networks = list.isEmpty ? .automatic : .listed(list)
    }

    private static func network(
        _ reader: inout JSONObjectReader, _ terms: Terms
    ) throws(APIFault) -> PortReservation.Network {
        var network = PortReservation.Network()
        if let text = try reader.string("uuid", nullable: true) {
            guard let id = NetworkID(text) else { throw reader.invalid("uuid", .string(text), "is not a 'uuid'") }
            network.networkID = id
        }
        if let text = try reader.string("port", nullable: true) {
            guard let id = PortID(text) else { throw reader.invalid("port", .string(text), "is not a 'uuid'") }
            network.portID = id
        }
        if let text = try reader.string("fixed_ip") {
            guard let address = IPv4Address(text) else {
                throw reader.invalid("fixed_ip", .string(text), "is not an 'ipv4'")
            }
            network.fixedAddress = address.description
        }
        if terms.version == 32 || terms.version >= 42 { network.tag = try reader.string("tag", length: 1...60) }
        try reader.finish()
        guard network.networkID != nil || network.portID != nil else {
            throw .badRequest("Bad networks format: network uuid is not in proper format")
        }
        if network.portID != nil {
            guard network.fixedAddress == nil else {
                throw .badRequest("Specified fixed address with a port: choose one of them.")
            }
            network.networkID = nil
        }
        return network
    }

    private mutating func readExtras(_ body: inout JSONObjectReader, _ terms: Terms) throws(APIFault) {
        for var group in try body.objects("security_groups") ?? [] {
            let name = try group.requiredString("name", length: 1...255)
            try group.finish()
            if !securityGroups.contains(name) { securityGroups.append(name) }
        }
        if terms.version <= 56, let files = try body.array("personality"), !files.isEmpty {
            throw .badRequest("Files can't be injected in this cloud: use user_data.")
        }
        if terms.version >= 19, body.has("description") { description = try Self.description(&body) }
        if terms.version >= 52, let texts = try body.strings("tags") {
            guard texts.count <= Self.tagLimit else {
                throw .badRequest("The number of tags exceeded the per-server limit \(Self.tagLimit)")
            }
            for text in texts
            where !(1...Self.tagLengthLimit).contains(text.unicodeScalars.count) || text.contains("/")
                || text.contains(",")
            {
                throw .badRequest("Tag '\(text.prefix(100))' is invalid.")
            }
            tags = texts.reduce(into: []) { kept, tag in if !kept.contains(tag) { kept.append(tag) } }
        }
        if terms.version >= 63, body.has("trusted_image_certificates") {
            if let certificates = try body.array("trusted_image_certificates", nullable: true), !certificates.isEmpty {
                throw .badRequest("Image signatures are not verified in this cloud: leave out the certificates.")
            }
        }
        if terms.version >= 90, let text = try body.string("hostname", length: 2...255) {
            hostname = try Self.checkHostname(text, version: terms.version, body)
            if maximumCount > 1 { throw .badRequest("A hostname can't be given to more than one server.") }
        }
    }
}

// Fields that creating and updating share.
extension ServerOrder {
    static func diskConfig(_ body: inout JSONObjectReader) throws(APIFault) -> String? {
        guard let text = try body.string("OS-DCF:diskConfig") else { return nil }
        guard ["AUTO", "MANUAL"].contains(text) else {
            throw body.invalid("OS-DCF:diskConfig", .string(text), "is not one of ['AUTO', 'MANUAL']")
        }
        return text
    }

    static func description(_ body: inout JSONObjectReader) throws(APIFault) -> String? {
        try body.string("description", length: 0...255, nullable: true)
    }

    /// Nil for none, which may be written as empty text.
    static func accessAddress(
        _ body: inout JSONObjectReader, _ key: String, isVersion4: Bool
    ) throws(APIFault) -> String? {
        guard let text = try body.string(key, length: 0...45, nullable: true), !text.isEmpty else { return nil }
        if isVersion4 {
            guard IPv4Address(text) != nil else { throw body.invalid(key, .string(text), "is not an 'ipv4'") }
        } else {
            guard IPv6Text.isAddress(text) else { throw body.invalid(key, .string(text), "is not an 'ipv6'") }
        }
        return text
    }

    /// A DNS label, or from 2.94 on a whole name.
    static func checkHostname(
        _ text: String, version: Int, _ body: JSONObjectReader
    ) throws(APIFault) -> String {
        let labels = text.split(separator: ".", omittingEmptySubsequences: false)
        let isValid = labels.allSatisfy { label in
            (1...63).contains(label.utf8.count) && label.first != "-" && label.last != "-"
                && label.unicodeScalars.allSatisfy {
                    $0.isASCII && (Character($0).isLetter || Character($0).isNumber || $0 == "-")
                }
        }
        guard isValid, labels.count == 1 || version >= 94 else {
            throw body.invalid("hostname", .string(text), "is not a 'fqdn'")
        }
        return text
    }

    /// Keys of metadata: letters, digits, `-`, `_`, `.`, `:` and blanks.
    static func checkMetadataKeys(_ metadata: [String: String]) throws(APIFault) {
        for key in metadata.keys where !key.unicodeScalars.allSatisfy(isKeyCharacter) {
            throw .badRequest("Invalid metadata key: \(key.prefix(255))")
        }
    }

    private static func isKeyCharacter(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isASCII
            && (Character(scalar).isLetter || Character(scalar).isNumber || "-_.: ".unicodeScalars.contains(scalar))
    }

    /// References may be URLs that end with the id.
    private static func lastComponent(_ text: String) -> String {
        text.split(separator: "/").last.map(String.init) ?? text
    }
}

extension PortReservation.Choice {
    /// Why only one server can have these networks, if so.
    fileprivate var reasonForOne: String? {
        guard case .listed(let list) = self else { return nil }
        if list.contains(where: { $0.portID != nil }) {
            return "Unable to launch multiple instances with a single configured port ID. Please launch your instance "
                + "one by one with different ports."
        }
        if list.contains(where: { $0.fixedAddress != nil }) {
            return "Unable to launch multiple instances with a single fixed IP address."
        }
        return nil
    }
}

import CloudModel
import FoundationEssentials
import Primitives
import Testing

/// The quick way to read a server's document reads what `Codable` writes.
@Suite struct InstanceJSONTests {
    private static let created = Date(timeIntervalSinceReferenceDate: 800_000_000.123456)

    private static let bare = Instance(
        id: id(1), projectID: "p", userID: "u", name: "bare \"quoted\" é😀", hostname: "bare",
        flavor: Flavor(id: "f", name: "small", vcpus: 1, memoryMiB: 64, diskGiB: 0, rxtxFactor: 1.5), image: nil,
        reservationID: "r-1", createdAt: created)

    /// Every member has a value that is not the one it begins with.
    private static let full: Instance = {
        var full = bare
        full.description = "what it is for"
        full.state = ServerState(vm: .stopped, task: .rebootStartedHard, power: .suspended)
        full.version = 1 << 40
        full.epoch = 3
        full.flavor = Flavor(
            id: "g", name: "large", vcpus: 8, memoryMiB: 4096, diskGiB: 20, ephemeralGiB: 5, swapMiB: 512,
            rxtxFactor: 2, isPublic: false, isDisabled: true, description: "much", extraSpecs: ["hw:a": "1"])
        full.image = ImageReference(
            id: id(2), name: "linux", sizeBytes: 1 << 33, sha512: "ab", diskFormat: "qcow2", properties: ["os": "x"])
        full.keyName = "key"
        full.availabilityZone = "north"
        full.pinnedAvailabilityZone = "north-1"
        full.schedulerHints = ["group": "g", "list": [1, .number(2.5), true, .null]]
        full.host = "rack-1"
        full.metadata = ["role": "web", "": "empty"]
        full.tags = ["a", "b"]
        full.interfaces = [interface(tag: "nic"), interface(tag: nil)]
        full.securityGroups = ["default"]
        full.userData = "I2Nsb3Vk"
        full.isConfigDriveWanted = false
        full.diskConfig = "AUTO"
        full.accessIPv4 = "192.0.2.1"
        full.accessIPv6 = "2001:db8::1"
        full.isLocked = true
        full.lockedReason = "audit"
        full.launchIndex = 2
        full.updatedAt = created.addingTimeInterval(1)
        full.launchedAt = created.addingTimeInterval(2)
        full.terminatedAt = created.addingTimeInterval(3)
        full.fault = InstanceFault(code: 403, message: "no", details: "why", createdAt: created)
        return full
    }()

    private static func id<Subject>(_ number: UInt8) -> Identifier<Subject> {
        Identifier(UUID(uuid: (0xAB, 0, 0, 0, 0, 0, 0x40, 0, 0x80, 0, 0, 0, 0, 0, 0, number)))
    }

    private static func interface(tag: String?) -> NetworkInterface {
        NetworkInterface(
            portID: id(3), networkID: id(4), networkName: "net", macAddress: "fa:16:3e:00:00:01",
            addresses: [
                .init(
                    subnetID: id(5), address: "10.0.0.2", prefixLength: 24, gateway: "10.0.0.1", nameServers: ["::1"]),
                .init(subnetID: id(6), address: "10.0.1.2", prefixLength: 16, gateway: nil, nameServers: []),
            ],
            mtu: 9000,
            securityRules: [
                SecurityRule(
                    direction: .ingress, etherType: "IPv4", ipProtocol: "tcp", portMinimum: 22, portMaximum: 23,
                    remotePrefix: "10.0.0.0/8"),
                SecurityRule(direction: .egress, etherType: "IPv6"),
            ],
            tag: tag, isOwned: tag == nil)
    }

    @Test(arguments: [bare, full]) func readsWhatAnEncoderWrites(_ instance: Instance) throws {
        let written = [UInt8](try JSONEncoder().encode(instance))
        #expect(try Instance(json: written) == instance)
    }

    /// A member that is added to the model must be read as well: set it in `full`, and read it.
    @Test func everyMemberIsSetInTheFullServer() throws {
        func members(_ value: some Encodable) throws -> [String: JSONValue] {
            try JSONParser.parse([UInt8](try JSONEncoder().encode(value))).object ?? [:]
        }
        #expect(Mirror(reflecting: Self.full).children.count == (try members(Self.full)).count)
        let begun = try members(Self.bare)
        let kept: Set = ["id", "projectID", "userID", "name", "hostname", "reservationID", "createdAt"]
        for (key, value) in try members(Self.full) where !kept.contains(key) {
            #expect(begun[key] != value, "\(key)")
        }
    }

    @Test func aMemberNotKnownIsSkipped() throws {
        var document = try JSONParser.parse([UInt8](try JSONEncoder().encode(Self.full))).object ?? [:]
        document["added later"] = ["a": [1, "b", .null, true, ["c": .number(-1.5e3)]]]
        #expect(try Instance(json: Array(JSONValue.object(document).text.utf8)) == Self.full)
    }

    @Test func aMemberThatIsMissingOrOfAnotherKindIsRefused() throws {
        let whole = try JSONParser.parse([UInt8](try JSONEncoder().encode(Self.bare))).object ?? [:]
        for key in whole.keys {
            var document = whole
            document[key] = nil
            let without = Array(JSONValue.object(document).text.utf8)
            #expect(throws: JSONSyntaxError.self, "without \(key)") { try Instance(json: without) }
            document[key] = [[]]
            let broken = Array(JSONValue.object(document).text.utf8)
            #expect(throws: JSONSyntaxError.self, "broken \(key)") { try Instance(json: broken) }
        }
    }
}

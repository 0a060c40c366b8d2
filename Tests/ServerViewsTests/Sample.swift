import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives
import ServerViews

/// A server with something in every field.
enum Sample {
    static let date = Date(timeIntervalSince1970: 1_700_000_000.25)

    static let flavor = Flavor(
        id: "f1", name: "m1.small", vcpus: 2, memoryMiB: 2048, diskGiB: 20, ephemeralGiB: 1, swapMiB: 512,
        extraSpecs: ["hw:cpu_policy": "shared"])

    static let host = ServerView.Host(hypervisorHostname: "n1.north.example", isUp: true, isEnabled: true)

    static func context(
        _ detail: ServerViewContext.Detail, minor: Int, isAdmin: Bool = false
    ) -> ServerViewContext {
        ServerViewContext(
            detail: detail, microversion: minor, computeURL: "http://cloud:8774/compute/v2.1", isAdmin: isAdmin)
    }

    static func identifier(_ digit: Int) -> UUID {
        UUID(uuid: (0, 0, 0, 0, 0, 0, 64, 0, 128, 0, 0, 0, 0, 0, 0, UInt8(digit)))
    }

    static func active() -> Instance {
        var instance = Instance(
            id: ServerID(identifier(1)), projectID: "11111111111111111111111111111111",
            userID: "22222222222222222222222222222222", name: "web 1", hostname: "web-1", flavor: flavor,
            image: ImageReference(
                id: ImageID(identifier(2)), name: "guest", sizeBytes: 1024, sha512: "00", diskFormat: "raw",
                properties: ["os_distro": "debian"]),
            reservationID: "r-abcdefgh", createdAt: date)
        instance.state = ServerState(vm: .active, task: nil, power: .running)
        instance.description = "a \"web\" server"
        instance.keyName = "key"
        instance.availabilityZone = "north"
        instance.pinnedAvailabilityZone = "north"
        instance.schedulerHints = .object(["group": .string("g")])
        instance.host = "n1"
        instance.metadata = ["role": "web", "a": "1"]
        instance.tags = ["blue"]
        instance.interfaces = [
            NetworkInterface(
                portID: PortID(identifier(3)), networkID: NetworkID(identifier(4)), networkName: "private",
                macAddress: "fa:16:3e:00:00:01",
                addresses: [
                    .init(
                        subnetID: SubnetID(identifier(5)), address: "10.0.0.5", prefixLength: 24, gateway: "10.0.0.1",
                        nameServers: [])
                ])
        ]
        instance.securityGroups = ["default"]
        instance.userData = "IyEvYmluL3No"
        instance.isLocked = true
        instance.lockedReason = "audit"
        instance.launchedAt = date
        instance.updatedAt = date.addingTimeInterval(60)
        return instance
    }
}

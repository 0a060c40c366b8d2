/// A size that a server can have.
package struct Flavor: Codable, Sendable, Hashable {
    /// What the API calls `id`: any text that an administrator chose, often a UUID.
    package var id: String
    package var name: String
    package var vcpus: Int
    package var memoryMiB: Int
    package var diskGiB: Int
    package var ephemeralGiB: Int
    package var swapMiB: Int
    package var rxtxFactor: Double
    package var isPublic: Bool
    package var isDisabled: Bool
    package var description: String?
    package var extraSpecs: [String: String]

    package init(
        id: String, name: String, vcpus: Int, memoryMiB: Int, diskGiB: Int, ephemeralGiB: Int = 0, swapMiB: Int = 0,
        rxtxFactor: Double = 1, isPublic: Bool = true, isDisabled: Bool = false, description: String? = nil,
        extraSpecs: [String: String] = [:]
    ) {
        self.id = id
        self.name = name
        self.vcpus = vcpus
        self.memoryMiB = memoryMiB
        self.diskGiB = diskGiB
        self.ephemeralGiB = ephemeralGiB
        self.swapMiB = swapMiB
        self.rxtxFactor = rxtxFactor
        self.isPublic = isPublic
        self.isDisabled = isDisabled
        self.description = description
        self.extraSpecs = extraSpecs
    }

    /// What a server of this flavor claims in placement, by standard resource class.
    package var resources: [String: Int64] {
        var amounts: [String: Int64] = ["VCPU": Int64(vcpus), "MEMORY_MB": Int64(memoryMiB)]
        let disk = Int64(diskGiB) + Int64(ephemeralGiB) + Int64((swapMiB + 1023) / 1024)
        if disk > 0 { amounts["DISK_GB"] = disk }
        return amounts
    }

    private static let aggregateScope = "aggregate_instance_extra_specs:"

    /// Extra specs that the metadata of a host's aggregates must meet, by key of that metadata.
    package var aggregateSpecs: [String: String] {
        var specs: [String: String] = [:]
        for (key, value) in extraSpecs where key.hasPrefix(Self.aggregateScope) {
            specs[String(key.dropFirst(Self.aggregateScope.count))] = value
        }
        return specs
    }
}

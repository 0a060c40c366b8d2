package import FoundationEssentials
package import Primitives

/// What a cloud starts with: flavors and networks that its operator wrote in topology.yaml.
package struct CloudSeed: Codable, Sendable, Equatable {
    package struct Flavor: Codable, Sendable, Equatable {
        package var name: String
        /// The name when absent.
        package var id: String?
        package var vcpus: Int
        package var memoryMiB: Int
        package var diskGiB: Int
        package var ephemeralGiB: Int?
        package var swapMiB: Int?
        package var isPublic: Bool?
        package var extraSpecs: [String: String]?

        package init(name: String, id: String? = nil, vcpus: Int, memoryMiB: Int, diskGiB: Int) {
            self.name = name
            self.id = id
            self.vcpus = vcpus
            self.memoryMiB = memoryMiB
            self.diskGiB = diskGiB
        }
    }

    package struct Network: Codable, Sendable, Equatable {
        package var name: String
        package var cidr: String
        /// The block's first address when absent.
        package var gateway: String?
        package var dns: [String]?
        package var shared: Bool?

        package init(
            name: String, cidr: String, gateway: String? = nil, dns: [String]? = nil, shared: Bool? = nil
        ) {
            self.name = name
            self.cidr = cidr
            self.gateway = gateway
            self.dns = dns
            self.shared = shared
        }
    }

    package var flavors: [Flavor]
    package var networks: [Network]

    package init(flavors: [Flavor] = [], networks: [Network] = []) {
        self.flavors = flavors
        self.networks = networks
    }
}

package enum CloudSeedError: Error, Sendable, Equatable, CustomStringConvertible {
    case invalidNetwork(name: String, reason: String)
    /// A flavor or network of that name exists and is not what the seed says. Sizes of a flavor and the block of a
    /// network never change: servers were made by them.
    case differs(kind: String, name: String, reason: String)

    package var description: String {
        switch self {
        case .invalidNetwork(let name, let reason): "network \(name): \(reason)"
        case .differs(let kind, let name, let reason): "\(kind) \(name) exists already and differs: \(reason)"
        }
    }
}

extension CloudSeed {
    /// Makes what is missing, leaves what is there and says what was made, in plain words. Applying twice changes nothing.
    /// - Parameter owner: the project that the networks belong to.
    /// - Throws: ``CloudSeedError``, and what the stores throw.
    package func apply(
        flavors flavorStore: any FlavorStore, networks networkStore: any NetworkStore, owner: ProjectID,
        ids: any IDSource, now: Date
    ) async throws -> [String] {
        var changes: [String] = []
        let known = try await flavorStore.all().map(\.flavor)
        for seed in flavors where try !isThere(seed, in: known) {
            do {
                try await flavorStore.insert(FlavorRecord(flavor: seed.flavor, createdAt: now))
                changes.append("flavor \(seed.name) created")
            } catch FlavorStoreError.nameTaken, FlavorStoreError.idTaken {
                // Another process was faster: what it wrote is checked as if it had been there before.
                let known = try await flavorStore.all().map(\.flavor)
                guard try isThere(seed, in: known) else {
                    throw CloudSeedError.differs(kind: "flavor", name: seed.name, reason: "its id is taken")
                }
            }
        }
        for seed in networks {
            let made = try await apply(seed, to: networkStore, owner: owner, ids: ids, now: now)
            changes += made
        }
        return changes
    }

    private func isThere(_ seed: Flavor, in known: [CloudModel.Flavor]) throws(CloudSeedError) -> Bool {
        guard let found = known.first(where: { $0.name == seed.name }) else { return false }
        guard found.vcpus == seed.vcpus, found.memoryMiB == seed.memoryMiB, found.diskGiB == seed.diskGiB else {
            throw .differs(
                kind: "flavor", name: seed.name,
                reason: "it has \(found.vcpus) vcpus, \(found.memoryMiB) MiB, \(found.diskGiB) GiB")
        }
        return true
    }

    private func apply(
        _ seed: Network, to store: any NetworkStore, owner: ProjectID, ids: any IDSource, now: Date
    ) async throws -> [String] {
        let (prefix, gateway) = try seed.addresses()
        var changes: [String] = []
        let network: CloudModel.Network
        if let found = try await store.networks(visibleTo: nil).first(where: {
            $0.name == seed.name && $0.projectID == owner
        }) {
            network = found
            let shared = seed.shared ?? true
            if found.isShared != shared {
                _ = try await store.update(found.id) { network in
                    network.isShared = shared
                    network.updatedAt = now
                }
                changes.append("network \(seed.name) \(shared ? "shared" : "no longer shared")")
            }
        } else {
            network = try await store.insert(
                CloudModel.Network(
                    id: ids.next(), projectID: owner, name: seed.name, isShared: seed.shared ?? true, createdAt: now))
            changes.append("network \(seed.name) created")
        }
        let subnets = try await store.subnets(visibleTo: nil).filter { $0.networkID == network.id }
        if let found = subnets.first {
            guard found.prefix == prefix, found.gateway == gateway else {
                throw CloudSeedError.differs(
                    kind: "network", name: seed.name,
                    reason: "it has \(found.prefix) with gateway \(found.gateway?.description ?? "none")")
            }
            return changes
        }
        _ = try await store.insert(
            Subnet(
                id: ids.next(), networkID: network.id, projectID: owner, name: "\(seed.name)-subnet", prefix: prefix,
                gateway: gateway, nameServers: seed.dns ?? [], createdAt: now))
        return changes + ["subnet \(seed.name)-subnet created"]
    }
}

extension CloudSeed.Flavor {
    fileprivate var flavor: Flavor {
        Flavor(
            id: id ?? name, name: name, vcpus: vcpus, memoryMiB: memoryMiB, diskGiB: diskGiB,
            ephemeralGiB: ephemeralGiB ?? 0, swapMiB: swapMiB ?? 0, isPublic: isPublic ?? true,
            extraSpecs: extraSpecs ?? [:])
    }
}

extension CloudSeed.Network {
    fileprivate func addresses() throws(CloudSeedError) -> (IPv4Prefix, IPv4Address) {
        guard let prefix = IPv4Prefix(cidr), prefix.length <= 30, prefix.description == cidr else {
            throw .invalidNetwork(name: name, reason: "\(cidr) is no block of IPv4 addresses")
        }
        guard let gateway else { return (prefix, Subnet.standardGateway(prefix)) }
        guard let address = IPv4Address(gateway), prefix.hosts.contains(address) else {
            throw .invalidNetwork(name: name, reason: "gateway \(gateway) is not in \(cidr)")
        }
        return (prefix, address)
    }
}

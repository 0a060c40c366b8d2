package import CloudModel
import FoundationEssentials
import Primitives
import Testing

/// What every ``NetworkStore`` keeps, as cases that the stand-in's and the database's tests both run.
package enum NetworkContract {
    package struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let body: @Sendable (NetworkContractBench) async throws -> Void
        package var testDescription: String { name }

        package func run(_ store: any NetworkStore) async throws { try await body(NetworkContractBench(store: store)) }
    }

    package static let cases: [Case] = [
        Case(name: "a network comes back as it was stored") { bench in
            let network = try await bench.network("n", shared: true)
            #expect(try await bench.store.networks(visibleTo: nil, ids: [network.id]) == [network])
            let changed = try await bench.store.update(network.id) { $0.name = "m" }
            #expect(changed.name == "m" && changed.revision == 1)
            #expect(try await bench.store.networks(visibleTo: "other").map(\.name) == ["m"])
            try await bench.store.deleteNetwork(network.id)
            await #expect(throws: NetworkError.networkNotFound(network.id)) {
                try await bench.store.deleteNetwork(network.id)
            }
            await #expect(throws: NetworkError.networkNotFound(network.id)) {
                _ = try await bench.store.update(network.id) { _ in }
            }
        },
        Case(name: "projects see their own and what is shared") { bench in
            let own = try await bench.network("own")
            _ = try await bench.network("other's", project: "q")
            let shared = try await bench.network("shared", project: "q", shared: true)
            let subnet = try await bench.subnet("10.0.0.0/24", on: shared)
            #expect(try await bench.store.networks(visibleTo: "p").map(\.id) == [own.id, shared.id])
            #expect(try await bench.store.networks(visibleTo: nil).count == 3)
            #expect(try await bench.store.subnets(visibleTo: "p").map(\.id) == [subnet.id])
            #expect(try await bench.store.networks(visibleTo: "p")[1].subnetIDs == [subnet.id])
        },
        Case(name: "a subnet comes back as it was stored") { bench in
            let network = try await bench.network("n")
            let subnet = try await bench.subnet("10.0.0.0/24", on: network)
            #expect(try await bench.store.subnets(visibleTo: nil, ids: [subnet.id]) == [subnet])
            let changed = try await bench.store.update(subnet.id) { subnet in
                subnet.gateway = nil
                subnet.nameServers = []
                subnet.pools = []
            }
            #expect(changed.gateway == nil && changed.pools.isEmpty && changed.revision == 1)
            #expect(try await bench.store.subnets(visibleTo: nil, ids: [subnet.id]) == [changed])
            try await bench.store.deleteSubnet(subnet.id)
            await #expect(throws: NetworkError.subnetNotFound(subnet.id)) {
                try await bench.store.deleteSubnet(subnet.id)
            }
        },
        Case(name: "subnets of a network do not overlap") { bench in
            let network = try await bench.network("n")
            let first = try await bench.subnet("10.0.0.0/16", on: network)
            let prefix = try #require(IPv4Prefix("10.0.5.0/24"))
            await #expect(throws: NetworkError.overlappingSubnet(prefix, with: first.id)) {
                _ = try await bench.subnet("10.0.5.0/24", on: network)
            }
            _ = try await bench.subnet("10.0.5.0/24", on: try await bench.network("m"))
        },
        Case(name: "a port takes one address after the other until there is none") { bench in
            let network = try await bench.network("n")
            _ = try await bench.subnet("10.0.0.0/29", on: network)
            var addresses: [String] = []
            for _ in 0..<5 { addresses += try await bench.port(on: network).addresses.map(\.address.description) }
            #expect(addresses == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.6"])
            await #expect(throws: NetworkError.noMoreAddresses(network.id)) { _ = try await bench.port(on: network) }
            #expect(try await bench.store.ports(PortQuery()).count == 5)
        },
        Case(name: "an address that was given back is given out again") { bench in
            let network = try await bench.network("n")
            _ = try await bench.subnet("10.0.0.0/29", on: network)
            var ports: [Port] = []
            for _ in 0..<5 { ports.append(try await bench.port(on: network)) }
            try await bench.store.deletePort(ports[1].id)
            #expect(try await bench.port(on: network).addresses.map(\.address.description) == ["10.0.0.3"])
        },
        Case(name: "addresses and MACs are had once") { bench in
            let network = try await bench.network("n")
            let subnet = try await bench.subnet("10.0.0.0/24", on: network)
            let wanted = try bench.address("10.0.0.9")
            let first = try await bench.port(on: network, address: wanted, mac: "fa:16:3e:00:00:01")
            #expect(first.addresses == [Port.Address(subnetID: subnet.id, address: wanted)])
            await #expect(throws: NetworkError.addressInUse("10.0.0.9")) {
                _ = try await bench.port(on: network, address: wanted)
            }
            await #expect(throws: NetworkError.macInUse("fa:16:3e:00:00:01")) {
                _ = try await bench.port(on: network, mac: "fa:16:3e:00:00:01")
            }
            await #expect(throws: NetworkError.addressInUse("10.0.0.1")) {
                _ = try await bench.port(on: network, address: try bench.address("10.0.0.1"))
            }
            await #expect(throws: NetworkError.invalidAddress("10.9.0.1")) {
                _ = try await bench.port(on: network, address: try bench.address("10.9.0.1"))
            }
            _ = try await bench.port(on: try await bench.network("m"), mac: "fa:16:3e:00:00:01")
        },
        Case(name: "a port comes back as it was changed") { bench in
            let network = try await bench.network("n")
            _ = try await bench.subnet("10.0.0.0/24", on: network)
            let port = try await bench.port(on: network)
            #expect(try await bench.store.ports(PortQuery(ids: [port.id])) == [port])
            var changes = PortChanges()
            changes.name = "renamed"
            changes.deviceID = "device"
            changes.securityGroupIDs = []
            changes.addresses = [AddressRequest(address: try bench.address("10.0.0.50"))]
            let changed = try await bench.store.update(port.id, changes, now: bench.now)
            #expect(changed.name == "renamed" && changed.deviceID == "device" && changed.revision == 1)
            #expect(changed.addresses.map(\.address.description) == ["10.0.0.50"])
            #expect(try await bench.store.ports(PortQuery(deviceIDs: ["device"])) == [changed])
            #expect(try await bench.store.ports(PortQuery(networkIDs: [network.id], projectIDs: ["p"])) == [changed])
            #expect(try await bench.store.ports(PortQuery(projectIDs: ["q"])).isEmpty)
            #expect(try await bench.store.ports(PortQuery(visibleTo: "q")).isEmpty)
        },
        Case(name: "what is in use is not deleted") { bench in
            let network = try await bench.network("n")
            let subnet = try await bench.subnet("10.0.0.0/24", on: network)
            let group = try await bench.group("web")
            let port = try await bench.port(on: network, groups: [group.id])
            await #expect(throws: NetworkError.networkInUse(network.id)) {
                try await bench.store.deleteNetwork(network.id)
            }
            await #expect(throws: NetworkError.subnetInUse(subnet.id)) {
                try await bench.store.deleteSubnet(subnet.id)
            }
            await #expect(throws: NetworkError.groupInUse(group.id)) { try await bench.store.deleteGroup(group.id) }
            try await bench.store.deletePort(port.id)
            try await bench.store.deleteGroup(group.id)
            try await bench.store.deleteNetwork(network.id)
            #expect(try await bench.store.subnets(visibleTo: nil).isEmpty)
        },
        Case(name: "the default group is made once and stays") { bench in
            let first = try await bench.store.defaultGroup(of: "p", ids: bench.ids, now: bench.now)
            let second = try await bench.store.defaultGroup(of: "p", ids: bench.ids, now: bench.now)
            #expect(first == second)
            #expect(first.rules.count == 4 && first.isDefault)
            #expect(try await bench.store.groups(visibleTo: "q").isEmpty)
            await #expect(throws: NetworkError.defaultGroup) { try await bench.store.deleteGroup(first.id) }
        },
        Case(name: "rules are added once and removed") { bench in
            let group = try await bench.group("web")
            var rule = SecurityGroupRule(
                id: bench.ids.next(), groupID: group.id, projectID: "p", direction: .ingress, etherType: "IPv4",
                ipProtocol: "tcp", portMinimum: 22, portMaximum: 22, remotePrefix: "0.0.0.0/0", createdAt: bench.now)
            #expect(try await bench.store.insert(rule) == rule)
            #expect(try await bench.store.groups(visibleTo: "p", ids: [group.id])[0].rules.contains(rule))
            let first = rule.id
            rule.id = bench.ids.next()
            let same = rule
            await #expect(throws: NetworkError.ruleExists(first)) { _ = try await bench.store.insert(same) }
            try await bench.store.deleteRule(first)
            await #expect(throws: NetworkError.ruleNotFound(first)) { try await bench.store.deleteRule(first) }
            let renamed = try await bench.store.update(group.id, name: "w", description: nil, now: bench.now)
            #expect(renamed.name == "w" && renamed.description == group.description && renamed.rules.count == 2)
        },
        Case(name: "quotas hold and usage is counted") { bench in
            try await bench.store.setQuota(NetworkQuota(overrides: [.network: 1, .port: 0]), of: "p")
            #expect(try await bench.store.quota(of: "p").limit(.network) == 1)
            #expect(try await bench.store.quota(of: "p").limit(.subnet) == 100)
            let network = try await bench.network("n")
            await #expect(throws: NetworkError.overQuota(.network)) { _ = try await bench.network("m") }
            await #expect(throws: NetworkError.overQuota(.port)) { _ = try await bench.port(on: network) }
            #expect(try await bench.store.usage(of: "p")[.network] == 1)
            try await bench.store.setQuota(NetworkQuota(), of: "p")
            _ = try await bench.network("m")
        },
    ]
}

/// A store with ids and a time, and the steps that cases share.
package struct NetworkContractBench: Sendable {
    let store: any NetworkStore
    let ids = CountingIDs()
    let now = ManualWallClock.start

    func network(_ name: String, project: ProjectID = "p", shared: Bool = false) async throws -> Network {
        try await store.insert(
            Network(id: ids.next(), projectID: project, name: name, isShared: shared, createdAt: now))
    }

    func subnet(_ cidr: String, on network: Network) async throws -> Subnet {
        let prefix = try #require(IPv4Prefix(cidr))
        return try await store.insert(
            Subnet(
                id: ids.next(), networkID: network.id, projectID: network.projectID, name: "s", prefix: prefix,
                gateway: Subnet.standardGateway(prefix), nameServers: ["9.9.9.9"], createdAt: now))
    }

    func port(
        on network: Network, address: IPv4Address? = nil, mac: String? = nil, groups: [SecurityGroupID] = []
    ) async throws -> Port {
        var draft = PortDraft(id: ids.next(), networkID: network.id, projectID: "p", createdAt: now)
        draft.macAddress = mac
        draft.securityGroupIDs = groups
        if let address { draft.addresses = [AddressRequest(address: address)] }
        return try await store.create(draft)
    }

    func address(_ text: String) throws -> IPv4Address {
        let address = IPv4Address(text)
        return try #require(address)
    }

    func group(_ name: String) async throws -> SecurityGroup {
        try await store.insert(
            SecurityGroup.fresh(
                id: ids.next(), projectID: "p", name: name, description: "d", ids: ids, now: now))
    }
}

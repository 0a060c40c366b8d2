package import CloudModel
package import FoundationEssentials
package import Primitives
import Synchronization

/// The network service's storage in memory: the same promises as the database's, kept by one lock.
package final class InMemoryNetworkStore: NetworkStore {
    struct State {
        var networks: [Network] = []
        var subnets: [Subnet] = []
        var ports: [Port] = []
        var groups: [SecurityGroup] = []
        var quotas: [ProjectID: NetworkQuota] = [:]
    }

    let state = Mutex(State())
    let ids: any IDSource

    package init(ids: any IDSource) { self.ids = ids }

    // MARK: Networks

    package func networks(visibleTo project: ProjectID?, ids: [NetworkID]?) async throws -> [Network] {
        state.withLock { state in
            state.networks.filter { network in
                (project == nil || network.projectID == project || network.isShared)
                    && (ids?.contains(network.id) ?? true)
            }.map { network in
                var network = network
                network.subnetIDs = state.subnets.filter { $0.networkID == network.id }.map(\.id)
                return network
            }
        }
    }

    package func insert(_ network: Network) async throws -> Network {
        try state.withLock { state in
            try state.check(.network, network.projectID)
            state.networks.append(network)
            return network
        }
    }

    package func update(_ id: NetworkID, _ change: @Sendable (inout Network) -> Void) async throws -> Network {
        try state.withLock { state in
            guard let index = state.networks.firstIndex(where: { $0.id == id }) else {
                throw NetworkError.networkNotFound(id)
            }
            change(&state.networks[index])
            state.networks[index].revision += 1
            var network = state.networks[index]
            network.subnetIDs = state.subnets.filter { $0.networkID == id }.map(\.id)
            return network
        }
    }

    package func deleteNetwork(_ id: NetworkID) async throws {
        try state.withLock { state in
            guard let index = state.networks.firstIndex(where: { $0.id == id }) else {
                throw NetworkError.networkNotFound(id)
            }
            guard !state.ports.contains(where: { $0.networkID == id }) else { throw NetworkError.networkInUse(id) }
            state.networks.remove(at: index)
            state.subnets.removeAll { $0.networkID == id }
        }
    }

    // MARK: Subnets

    package func subnets(visibleTo project: ProjectID?, ids: [SubnetID]?) async throws -> [Subnet] {
        state.withLock { state in
            state.subnets.filter { subnet in
                let network = state.networks.first { $0.id == subnet.networkID }
                return
                    (project == nil || subnet.projectID == project || network?.projectID == project
                    || network?.isShared == true) && (ids?.contains(subnet.id) ?? true)
            }
        }
    }

    package func insert(_ subnet: Subnet) async throws -> Subnet {
        try state.withLock { state in
            try state.check(.subnet, subnet.projectID)
            guard state.networks.contains(where: { $0.id == subnet.networkID }) else {
                throw NetworkError.networkNotFound(subnet.networkID)
            }
            for other in state.subnets
            where other.networkID == subnet.networkID && other.prefix.overlaps(subnet.prefix) {
                throw NetworkError.overlappingSubnet(subnet.prefix, with: other.id)
            }
            state.subnets.append(subnet)
            return subnet
        }
    }

    package func update(_ id: SubnetID, _ change: @Sendable (inout Subnet) -> Void) async throws -> Subnet {
        try state.withLock { state in
            guard let index = state.subnets.firstIndex(where: { $0.id == id }) else {
                throw NetworkError.subnetNotFound(id)
            }
            change(&state.subnets[index])
            state.subnets[index].revision += 1
            return state.subnets[index]
        }
    }

    package func deleteSubnet(_ id: SubnetID) async throws {
        try state.withLock { state in
            guard let index = state.subnets.firstIndex(where: { $0.id == id }) else {
                throw NetworkError.subnetNotFound(id)
            }
            guard !state.ports.contains(where: { $0.addresses.contains { $0.subnetID == id } }) else {
                throw NetworkError.subnetInUse(id)
            }
            state.subnets.remove(at: index)
        }
    }

    // MARK: Groups

    package func defaultGroup(of project: ProjectID, ids: any IDSource, now: Date) async throws -> SecurityGroup {
        state.withLock { $0.defaultGroup(of: project, ids: ids, now: now) }
    }

    package func groups(visibleTo project: ProjectID?, ids: [SecurityGroupID]?) async throws -> [SecurityGroup] {
        state.withLock { state in
            state.groups.filter { group in
                (project == nil || group.projectID == project) && (ids?.contains(group.id) ?? true)
            }
        }
    }

    package func insert(_ group: SecurityGroup) async throws -> SecurityGroup {
        try state.withLock { state in
            try state.check(.securityGroup, group.projectID)
            state.groups.append(group)
            return group
        }
    }

    package func update(
        _ id: SecurityGroupID, name: String?, description: String?, now: Date
    ) async throws -> SecurityGroup {
        try state.withLock { state in
            guard let index = state.groups.firstIndex(where: { $0.id == id }) else {
                throw NetworkError.groupNotFound(id.description)
            }
            state.groups[index].name = name ?? state.groups[index].name
            state.groups[index].description = description ?? state.groups[index].description
            state.groups[index].updatedAt = now
            state.groups[index].revision += 1
            return state.groups[index]
        }
    }

    package func deleteGroup(_ id: SecurityGroupID) async throws {
        try state.withLock { state in
            guard let index = state.groups.firstIndex(where: { $0.id == id }) else {
                throw NetworkError.groupNotFound(id.description)
            }
            guard !state.groups[index].isDefault else { throw NetworkError.defaultGroup }
            guard !state.ports.contains(where: { $0.securityGroupIDs.contains(id) }) else {
                throw NetworkError.groupInUse(id)
            }
            state.groups.remove(at: index)
        }
    }

    package func insert(_ rule: SecurityGroupRule) async throws -> SecurityGroupRule {
        try state.withLock { state in
            try state.check(.securityGroupRule, rule.projectID)
            guard let index = state.groups.firstIndex(where: { $0.id == rule.groupID }) else {
                throw NetworkError.groupNotFound(rule.groupID.description)
            }
            if let same = state.groups[index].rules.first(where: { $0.isSameRule(as: rule) }) {
                throw NetworkError.ruleExists(same.id)
            }
            state.groups[index].rules.append(rule)
            return rule
        }
    }

    package func deleteRule(_ id: SecurityRuleID) async throws {
        try state.withLock { state in
            for index in state.groups.indices {
                guard let rule = state.groups[index].rules.firstIndex(where: { $0.id == id }) else { continue }
                state.groups[index].rules.remove(at: rule)
                return
            }
            throw NetworkError.ruleNotFound(id)
        }
    }

    // MARK: Quotas

    package func quota(of project: ProjectID) async throws -> NetworkQuota {
        state.withLock { $0.quotas[project] ?? NetworkQuota() }
    }

    package func setQuota(_ quota: NetworkQuota, of project: ProjectID) async throws {
        state.withLock { $0.quotas[project] = quota }
    }

    package func usage(of project: ProjectID) async throws -> [NetworkResource: Int] {
        state.withLock { state in
            [.network, .subnet, .port, .securityGroup, .securityGroupRule].reduce(into: [:]) { usage, resource in
                usage[resource] = state.count(resource, project)
            }
        }
    }
}

extension InMemoryNetworkStore.State {
    func count(_ resource: NetworkResource, _ project: ProjectID) -> Int {
        switch resource {
        case .network: networks.count { $0.projectID == project }
        case .subnet: subnets.count { $0.projectID == project }
        case .port: ports.count { $0.projectID == project }
        case .securityGroup: groups.count { $0.projectID == project }
        case .securityGroupRule: groups.flatMap(\.rules).count { $0.projectID == project }
        case .router, .floatingIP, .subnetPool, .rbacPolicy: 0
        }
    }

    func check(_ resource: NetworkResource, _ project: ProjectID, adding added: Int = 1) throws(NetworkError) {
        try (quotas[project] ?? NetworkQuota()).check(resource, used: count(resource, project), added: added)
    }

    mutating func defaultGroup(of project: ProjectID, ids: any IDSource, now: Date) -> SecurityGroup {
        if let group = groups.first(where: { $0.projectID == project && $0.isDefault }) { return group }
        let group = SecurityGroup.projectDefault(projectID: project, ids: ids, now: now)
        groups.append(group)
        return group
    }
}

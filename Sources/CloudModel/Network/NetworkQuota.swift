/// What the network service limits per project.
package enum NetworkResource: String, Codable, Sendable, CaseIterable {
    case network, subnet, port, router, floatingIP = "floatingip"
    case securityGroup = "security_group"
    case securityGroupRule = "security_group_rule"
    case subnetPool = "subnetpool"
    case rbacPolicy = "rbac_policy"

    /// -1 for none.
    package var standardLimit: Int {
        switch self {
        case .network, .subnet, .securityGroupRule: 100
        case .port: 500
        case .router, .securityGroup, .rbacPolicy: 10
        case .floatingIP: 50
        case .subnetPool: -1
        }
    }
}

package struct NetworkQuota: Sendable, Equatable {
    /// Only what differs from the standard limits.
    package var overrides: [NetworkResource: Int]

    package init(overrides: [NetworkResource: Int] = [:]) { self.overrides = overrides }

    package func limit(_ resource: NetworkResource) -> Int { overrides[resource] ?? resource.standardLimit }

    /// - Throws: ``NetworkError/overQuota(_:)`` when `added` more than `used` would pass the limit.
    package func check(_ resource: NetworkResource, used: Int, added: Int = 1) throws(NetworkError) {
        let limit = limit(resource)
        if limit >= 0, used + added > limit { throw .overQuota(resource) }
    }
}

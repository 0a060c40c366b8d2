/// Every key that a topology file may have, in any mapping.
enum TopologyKey: String, Sendable, CaseIterable {
    case address, api, apiVersion, availabilityZone
    case bootstrap, broker
    case caFile, capacity, cells, certificates, cidr, control
    case database, defaults, description, diskFormat, diskGiB, dns, driver
    case existing
    case file, flavors
    case gateway
    case host, hosts, hypervisor
    case identity, identityFile, image, images, instances
    case jump
    case keyPairs
    case lab, labels, listen
    case managementPort, managementURL, memoryMiB
    case name, network, networks
    case passwordEnv, passwordFile, port, ports, project, projects, publicURL
    case quota
    case region, renewDays, roles, root
    case services, shared, ssh
    case tls
    case uri, url, user, users
    case validDays, vcpus, virtType
}

/// The same for other modules' tests and tools.
package enum TopologyKeys {
    package static let all = Set(TopologyKey.allCases.map(\.rawValue))
}

/// What a host has unless it says otherwise: grows on the way down from the topology's defaults through the cells'.
struct HostSettings: Sendable {
    var ssh = Topology.SSH()
    var hypervisor = Topology.Hypervisor()
    var capacity = Topology.Capacity()
    var availabilityZone = Topology.Host.defaultAvailabilityZone
    var labels: [String: String] = [:]

    /// The same with what `node` (a host or a `defaults`) says in place of what it inherits, key by key.
    func overridden(by node: DocumentNode?) -> HostSettings {
        guard let node else { return self }
        var result = self
        if let ssh = node[.ssh] {
            result.ssh.user = ssh[.user]?.text ?? result.ssh.user
            result.ssh.port = ssh[.port]?.integer ?? result.ssh.port
            result.ssh.identityFile = ssh[.identityFile]?.text ?? result.ssh.identityFile
            result.ssh.jump = ssh[.jump]?.text ?? result.ssh.jump
        }
        if let hypervisor = node[.hypervisor] {
            result.hypervisor.driver = hypervisor[.driver]?.choice() ?? result.hypervisor.driver
            result.hypervisor.virtType = hypervisor[.virtType]?.choice() ?? result.hypervisor.virtType
            result.hypervisor.uri = hypervisor[.uri]?.text ?? result.hypervisor.uri
        }
        if let capacity = node[.capacity] {
            result.capacity.vcpus = capacity[.vcpus]?.integer ?? result.capacity.vcpus
            result.capacity.memoryMiB = capacity[.memoryMiB]?.integer ?? result.capacity.memoryMiB
            result.capacity.diskGiB = capacity[.diskGiB]?.integer ?? result.capacity.diskGiB
        }
        result.availabilityZone = node[.availabilityZone]?.text ?? result.availabilityZone
        for label in node[.labels]?.members ?? [] { result.labels[label.key] = label.value.text }
        return result
    }
}

extension DocumentNode {
    /// The text as one of an enumeration's values.
    func choice<Choice: RawRepresentable<String>>(_: Choice.Type = Choice.self) -> Choice? {
        text.flatMap(Choice.init(rawValue:))
    }
}

import CloudModel
import Primitives

/// Writes down every resource of a topology, each after what it depends on.
struct DesiredStateBuilder {
    let topology: Topology
    let inputs: DesiredState.Inputs
    let index: DesiredStateIndex

    var resources: [Resource] = []
    /// Resources that several parts want, such as folders, are written down once.
    var known: Set<Resource.ID> = []
    /// What each unit of ours runs with.
    var digests: [Resource.ID: String] = [:]

    init(topology: Topology, inputs: DesiredState.Inputs) {
        self.topology = topology
        self.inputs = inputs
        index = DesiredStateIndex(topology)
    }

    mutating func build() -> [Resource] {
        let size = 30 * (topology.hosts.count + topology.cells.count)
        resources.reserveCapacity(size)
        known.reserveCapacity(size)
        for host in topology.hosts { addHostBasics(host) }
        addDatabaseServers()
        addBrokerServers()
        for host in topology.hosts { addHypervisor(host) }
        for cell in topology.cells { addCellStores(cell) }
        let inputs = inputs
        let texts = index.layout.processes.concurrentMap { ProcessTexts(of: $0, inputs) }
        for (process, texts) in zip(index.layout.processes, texts) { addFiles(of: process, texts) }
        for cell in topology.cells {
            addSchema(cell)
            for process in index.processes(.supervisor, cell.path) {
                addRun(process, after: [schemaID(cell.path), permissionsID(.supervisor, cell.path)])
            }
        }
        for process in index.processes(.api, .root) {
            addRun(process, after: [schemaID(.root), permissionsID(.api, .root)] + gates(.supervisor, of: .root))
        }
        for cell in topology.cells {
            for process in index.processes(.conductor, cell.path) {
                addRun(process, after: [schemaID(cell.path), permissionsID(.conductor, cell.path)])
            }
            for process in index.processes(.compute, cell.path) { addAgent(process) }
        }
        for cell in topology.cells where !cell.path.isRoot { addMapping(cell) }
        addBootstrap()
        return resources
    }

    // MARK: Adding

    mutating func add(_ resource: Resource) {
        guard known.insert(resource.id).inserted else { return }
        resources.append(resource)
    }

    mutating func addDirectory(_ path: String, mode: String, owner: String, on host: HostName) {
        let needsAccount = owner == ProcessLayout.serviceAccount
        add(
            .init(
                id: directoryID(path, host), specification: .directory(.init(path: path, mode: mode, owner: owner)),
                attributes: ["mode": mode, "owner": owner],
                dependsOn: needsAccount ? [.init(.account, host: host, name: owner)] : []))
    }

    /// - Parameter digest: of the content, where it is known.
    @discardableResult
    mutating func addFile(
        _ path: String, mode: String, owner: String, _ content: ResourceSpecification.File.Content,
        digest: String? = nil, on host: HostName, after: [Resource.ID], cell: CellPath? = nil
    ) -> Resource.ID {
        let digest = digest ?? self.digest(of: content)
        let id = fileID(path, host)
        var attributes = ["mode": mode, "owner": owner, "content": digest]
        // Nothing that is found has this, so what nears its end is always a difference.
        if case .secret(let name) = content { attributes["certificate"] = inputs.ending[name].map { "\($0)" } }
        add(
            .init(
                id: id,
                specification: .file(.init(path: path, mode: mode, owner: owner, content: content)),
                attributes: attributes, dependsOn: after, cell: cell))
        return id
    }

    private func digest(of content: ResourceSpecification.File.Content) -> String {
        switch content {
        case .text(let text): ContentDigest.of(text)
        case .secret(let name): inputs.secrets[name] ?? ""
        case .binary(let name): inputs.binaries[name] ?? ""
        }
    }
}

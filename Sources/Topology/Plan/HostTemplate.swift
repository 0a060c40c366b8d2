import CloudModel

/// What is wanted of every compute host of one kind, made once from a stand-in: a check of a hundred thousand hosts costs a
/// few microseconds each, and only hosts that differ are written out as ``Resource``s.
///
/// It knows ids and attributes only, and takes them from what ``DesiredStateBuilder`` writes for the stand-in, by putting
/// each host's name and address where the stand-in's are.
struct HostTemplate: Sendable {
    /// Names and addresses that no host has.
    static let standIn: HostName = "cellwright-host-template"
    static let standInAddress = "cellwright-host-template-address"

    private enum Attributes: Sendable {
        case same([String: String])
        /// Values that follow from name and address.
        case rendered([(key: String, value: TextTemplate)])
        /// What the broker shows of a user, which is more than its name put in.
        case permissions(ProcessLayout.BrokerUser)
        case secretFile(TextTemplate, others: [String: String])
        /// A text whose digest is compared.
        case textFile(TextTemplate, others: [String: String])
        /// What the process runs with.
        case unit(others: [String: String])
    }

    private struct Entry: Sendable {
        let kind: Resource.Kind
        let host: HostName?
        let isOnHost: Bool
        let cell: CellPath?
        let name: TextTemplate
        let attributes: Attributes
    }

    private struct Part: Sendable {
        let key: TextTemplate
        let value: TextTemplate
        /// The secret whose digest is the value.
        let secret: TextTemplate?
    }

    private let entries: [Entry]
    private let parts: [Part]

    /// - Parameters:
    ///   - resources: of the stand-in.
    ///   - process: the stand-in's agent.
    ///   - inputParts: what its ``ContentDigest`` of inputs is made of.
    ///   - inputs: that digest.
    init(
        resources: [Resource], process: ProcessLayout.Process, inputParts: [String: String], inputs: String
    ) {
        let marks = [inputs, Self.standInAddress, Self.standIn.text]
        let secrets = Dictionary(
            process.secrets.map { ($0.path, $0.name.text) }, uniquingKeysWith: { first, _ in first })
        parts = inputParts.map { key, value in
            Part(
                key: TextTemplate(key, marks: marks), value: TextTemplate(value, marks: marks),
                secret: secrets[key].map { TextTemplate($0, marks: marks) })
        }
        entries = resources.map { resource in
            Entry(
                kind: resource.id.kind, host: resource.id.host, isOnHost: resource.id.host == Self.standIn,
                cell: resource.id.cell, name: TextTemplate(resource.id.name, marks: marks),
                attributes: Self.attributes(of: resource, marks: marks))
        }
    }

    private static func attributes(of resource: Resource, marks: [String]) -> Attributes {
        var others = resource.attributes
        switch resource.specification {
        case .brokerPermissions(_, _, let user): return .permissions(user)
        case .file(let file):
            switch file.content {
            case .secret(let name):
                others["content"] = nil
                others["certificate"] = nil
                return .secretFile(TextTemplate(name.text, marks: marks), others: others)
            case .text(let text):
                let template = TextTemplate(text, marks: marks)
                if template.isConstant { return .same(resource.attributes) }
                others["content"] = nil
                return .textFile(template, others: others)
            case .binary: return .same(resource.attributes)
            }
        case .unit(let unit) where unit.inputs == marks[0]:
            others["inputs"] = nil
            return .unit(others: others)
        default:
            let rendered = resource.attributes.map { (key: $0.key, value: TextTemplate($0.value, marks: marks)) }
            return rendered.allSatisfy { $0.value.isConstant } ? .same(resource.attributes) : .rendered(rendered)
        }
    }

    /// How many resources a host has.
    var count: Int { entries.count }

    /// Calls `body` with the id and the wanted attributes of each resource of `host` until it returns false.
    /// - Returns: whether it never did.
    func allSatisfy(
        _ host: Topology.Host, inputs: DesiredState.Inputs, _ body: (Resource.ID, [String: String]) -> Bool
    ) -> Bool {
        var values = ["", host.reachableAt, host.name.text]
        values[0] = digest(of: values, secrets: inputs.secrets)
        for entry in entries where !body(id(entry, host, values), wanted(entry, host, values, inputs)) { return false }
        return true
    }

    /// The ids of the resources of `host`.
    func ids(_ host: Topology.Host) -> [Resource.ID] {
        let values = ["", host.reachableAt, host.name.text]
        return entries.map { id($0, host, values) }
    }

    private func id(_ entry: Entry, _ host: Topology.Host, _ values: [String]) -> Resource.ID {
        Resource.ID(
            entry.kind, host: entry.isOnHost ? host.name : entry.host, cell: entry.cell, name: entry.name.text(values))
    }

    private func wanted(
        _ entry: Entry, _ host: Topology.Host, _ values: [String], _ inputs: DesiredState.Inputs
    ) -> [String: String] {
        switch entry.attributes {
        case .same(let attributes): return attributes
        case .rendered(let templates):
            return Dictionary(
                templates.map { ($0.key, $0.value.text(values)) }, uniquingKeysWith: { first, _ in first })
        case .permissions(var user):
            user.name = user.name.replacing(Self.standIn.text, with: host.name.text)
            user.host = host.name
            return user.permissionAttributes
        case .secretFile(let name, var attributes):
            let name = SecretName(named: name.text(values))
            attributes["content"] = inputs.secrets[name] ?? ""
            attributes["certificate"] = inputs.ending[name].map { "\($0)" }
            return attributes
        case .textFile(let template, var attributes):
            attributes["content"] = ContentDigest.of(template.text(values))
            return attributes
        case .unit(var attributes):
            attributes["inputs"] = values[0]
            return attributes
        }
    }

    private func digest(of values: [String], secrets: [SecretName: String]) -> String {
        var texts: [String: String] = [:]
        for part in parts {
            texts[part.key.text(values)] =
                part.secret.map { secrets[SecretName(named: $0.text(values))] ?? "" } ?? part.value.text(values)
        }
        return ContentDigest.of(texts)
    }
}

extension DesiredStateBuilder {
    /// Everything that one compute host of `cell` means, in the order of ``build()``.
    mutating func buildHost(_ host: Topology.Host, of cell: Topology.Cell) throws -> [Resource] {
        resources = []
        known = []
        guard let process = index.processes(.compute, cell.path).first(where: { $0.host == host.name }),
            let user = index.hostUsers[host.name]
        else { return [] }
        addHostBasics(host)
        addHypervisor(host)
        addBrokerUser(user, of: cell)
        try addFiles(of: process)
        addAgent(process)
        return resources
    }

    /// A template of hosts like `example`; `nil` when it would not tell `example` itself as the builder does.
    static func template(
        like example: Topology.Host, of cell: Topology.Cell, in topology: Topology, inputs: DesiredState.Inputs
    ) throws -> HostTemplate? {
        var standIn = example
        standIn.name = HostTemplate.standIn
        standIn.address = HostTemplate.standInAddress
        let small = topology.only(cell, hosts: [standIn, example])
        guard let smallCell = small.cell(cell.path) else { return nil }
        var builder = DesiredStateBuilder(topology: small, inputs: inputs)
        let resources = try builder.buildHost(standIn, of: smallCell)
        guard let process = builder.index.processes(.compute, cell.path).first(where: { $0.host == standIn.name })
        else {
            return nil
        }
        let configuration = try process.configuration.json()
        let parts = builder.inputParts(of: process, configuration: configuration)
        let template = HostTemplate(
            resources: resources, process: process, inputParts: parts, inputs: ContentDigest.of(parts))
        let expected = try builder.buildHost(example, of: smallCell)
        var told: [Resource.ID: [String: String]] = [:]
        _ = template.allSatisfy(example, inputs: inputs) { id, attributes in
            told[id] = attributes
            return true
        }
        let isRight = told.count == expected.count && expected.allSatisfy { told[$0.id] == $0.attributes }
        return isRight ? template : nil
    }
}

extension Topology {
    /// The part of the topology that `cell`, with these hosts, has to do with: the cells above it and their machines.
    package func only(_ cell: Cell, hosts: [Host]) -> Topology {
        var needed = Set(api.hosts)
        func visit(_ other: Cell) -> Cell {
            needed.formUnion(other.controlHosts)
            if case .embedded(let server) = other.database { needed.insert(server.host) }
            if case .embedded(let server) = other.broker { needed.insert(server.host) }
            var kept = other
            guard other.path != cell.path else {
                kept.content = .hosts(hosts)
                return kept
            }
            let depth = other.path.components.count
            kept.content = .children(
                other.children.filter { child in
                    depth < cell.path.components.count && child.name == cell.path.components[depth]
                }.map(visit))
            return kept
        }
        var result = self
        result.root = visit(root)
        result.machines = machines.filter { needed.contains($0.name) }
        return result
    }
}

import CloudModel
import MessageBus

/// What is wanted of every compute host of one kind, made once from a stand-in: a check of a hundred thousand hosts costs a
/// few microseconds each, and only hosts that differ are written out as ``Resource``s.
///
/// It knows ids and attributes only, and takes them from what ``DesiredStateBuilder`` writes for the stand-in, by putting
/// what is each host's own where the stand-in's is.
struct HostTemplate: Sendable {
    /// What is wanted of one resource.
    struct Wanted: Sendable {
        /// What every host has.
        var fixed: [String: String] = [:]
        /// What is each host's own.
        var own: [(key: String, value: Value)] = []
    }

    enum Value: Sendable {
        case text(TextTemplate)
        /// The digest of a text.
        case digest(DigestTemplate)
        /// The digest of the secret of this name.
        case secret(TextTemplate)
        /// The days that the certificate of this name has left, when it must be renewed.
        case daysLeft(TextTemplate)
    }

    /// A resource on the host's broker or in its cell.
    struct Elsewhere: Sendable {
        let kind: Resource.Kind
        let place: Resource.Place
        let name: TextTemplate
        let wanted: Wanted

        func id(_ values: [String]) -> Resource.ID {
            Resource.ID(kind, host: place.host, cell: place.cell, name: name.text(values))
        }
    }

    /// Everything on the host, in the order of ``ObservedPlace``.
    let names: [ObservedPlace.Name]
    /// What is wanted of each.
    let wanted: [Wanted]
    let elsewhere: [Elsewhere]
    /// The digests of the agent's configuration and of its inputs.
    private let configuration: DigestTemplate
    private let inputs: DigestTemplate

    /// - Parameters:
    ///   - standIn: a host whose name and address are nowhere in the cloud.
    ///   - resources: everything of it.
    ///   - texts: its agent's.
    init(_ standIn: Topology.Host, resources: [Resource], _ texts: ProcessTexts) {
        let marks = Self.values(of: standIn, configuration: texts.configurationDigest, inputs: texts.inputs)
        configuration = DigestTemplate(TextTemplate(texts.configuration, marks: marks))
        inputs = DigestTemplate(
            parts: texts.inputParts.sorted { $0.key < $1.key }.map { ($0.key, TextTemplate($0.value, marks: marks)) })
        let own = resources.filter { $0.id.host == standIn.name }.map { (name: $0.id.placeName, resource: $0) }
            .sorted { $0.name < $1.name }
        names = own.map(\.name)
        wanted = own.map { Self.wanted(of: $0.resource, marks: marks) }
        elsewhere = resources.filter { $0.id.host != standIn.name }.map { resource in
            Elsewhere(
                kind: resource.id.kind, place: resource.id.place, name: TextTemplate(resource.id.name, marks: marks),
                wanted: Self.wanted(of: resource, marks: marks))
        }
    }

    private static func wanted(of resource: Resource, marks: [String]) -> Wanted {
        var wanted = Wanted()
        var attributes = resource.attributes
        if case .file(let file) = resource.specification {
            switch file.content {
            case .text(let text):
                let text = TextTemplate(text, marks: marks)
                // The configuration's digest is one of the values.
                if !text.isConstant, !marks.contains(attributes["content"] ?? "") {
                    attributes["content"] = nil
                    wanted.own.append(("content", .digest(DigestTemplate(text))))
                }
            case .secret(let name):
                let name = TextTemplate(name.text, marks: marks)
                if !name.isConstant {
                    attributes["content"] = nil
                    wanted.own += [("content", .secret(name)), ("certificate", .daysLeft(name))]
                }
            case .binary: break
            }
        }
        for (key, value) in attributes {
            let text = TextTemplate(value, marks: marks)
            if text.isConstant { wanted.fixed[key] = value } else { wanted.own.append((key, .text(text))) }
        }
        return wanted
    }

    /// How many resources a host has.
    var count: Int { names.count + elsewhere.count }

    /// What is a host's own, by slot of its texts.
    func values(of host: Topology.Host) -> [String] {
        var values = Self.values(of: host, configuration: "", inputs: "")
        values[0] = configuration.text(values)
        values[1] = inputs.text(values)
        return values
    }

    private static func values(of host: Topology.Host, configuration: String, inputs: String) -> [String] {
        [configuration, inputs, host.reachableAt, host.name.text, CellPermissions.hostPattern(host.name.text)]
    }

    /// A host's own value of an attribute; `nil` when the attribute is not wanted of it.
    static func text(_ value: Value, _ values: [String], _ inputs: DesiredState.Inputs) -> String? {
        switch value {
        case .text(let template): template.text(values)
        case .digest(let template): template.text(values)
        case .secret(let template): inputs.secrets[SecretName(named: template.text(values))] ?? ""
        case .daysLeft(let template):
            inputs.ending.isEmpty ? nil : inputs.ending[SecretName(named: template.text(values))].map { "\($0)" }
        }
    }

    /// The wanted attributes of every resource of `host`.
    func attributes(of host: Topology.Host, inputs: DesiredState.Inputs) -> [Resource.ID: [String: String]] {
        let values = values(of: host)
        func attributes(_ wanted: Wanted) -> [String: String] {
            wanted.own.reduce(into: wanted.fixed) { $0[$1.key] = Self.text($1.value, values, inputs) }
        }
        let place = Resource.Place(host: host.name)
        let own = zip(names, wanted).map { (Resource.ID($0, in: place), attributes($1)) }
        return Dictionary(
            own + elsewhere.map { ($0.id(values), attributes($0.wanted)) }, uniquingKeysWith: { first, _ in first })
    }

    /// The ids of the resources of `host` that are not on it.
    func idsElsewhere(_ host: Topology.Host) -> [Resource.ID] {
        let values = Self.values(of: host, configuration: "", inputs: "")
        return elsewhere.map { $0.id(values) }
    }
}

extension DesiredStateBuilder {
    /// The template of hosts for which `standIn`, a host of the builder's topology, stands; `nil` when it has no agent.
    func template(_ standIn: Topology.Host, of cell: Topology.Cell) -> HostTemplate? {
        var builder = self
        guard let process = index.processes(.compute, cell.path).first(where: { $0.host == standIn.name }),
            let user = index.hostUsers[standIn.name]
        else { return nil }
        builder.addHostBasics(standIn)
        builder.addHypervisor(standIn)
        builder.addBrokerUser(user, of: cell)
        let texts = ProcessTexts(of: process, inputs)
        builder.addFiles(of: process, texts)
        builder.addAgent(process)
        return HostTemplate(standIn, resources: builder.resources, texts)
    }
}

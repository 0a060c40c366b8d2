/// Compares the hosts of one kind with what is wanted of them, position by position.
struct HostComparison {
    private let template: HostTemplate
    private let inputs: DesiredState.Inputs
    private let observed: ObservedFacts
    /// What was found where the template's things elsewhere are; `nil` where nobody could look.
    private let elsewhere: [ObservedPlace?]
    /// Positions of which every host has something of its own.
    private let own: [Int]
    /// Names and observations that the last host had in common with others: of the next they are equal at a glance.
    private var names: [ObservedPlace.Name]
    private var common: [ObservedFacts.Observation] = []
    /// Positions at which those are not what is wanted of every host.
    private var wrong: [Int]

    init(_ template: HostTemplate, inputs: DesiredState.Inputs, observed: ObservedFacts) {
        self.template = template
        self.inputs = inputs
        self.observed = observed
        own = template.wanted.indices.filter { !template.wanted[$0].own.isEmpty }
        names = template.names
        wrong = Array(names.indices)
        elsewhere = template.elsewhere.map { entry in
            let isLost = entry.place.host.map { observed.unreachable[$0] != nil } ?? false
            return isLost ? nil : observed.observations.places[entry.place]
        }
    }

    /// Whether everything that is wanted of `host` was found just so, and nothing else was found on it.
    mutating func isClean(_ host: Topology.Host) -> Bool {
        guard observed.unreachable.isEmpty || observed.unreachable[host.name] == nil,
            let found = observed.observations.places[.init(host: host.name)], found.names == names
        else { return false }
        if common != found.common {
            names = found.names
            common = found.common
            wrong = common.indices.filter { !isFixed(template.wanted[$0], in: common[$0]) }
        }
        guard wrong.allSatisfy({ position in found.differences.contains { $0.position == position } }) else {
            return false
        }
        let values = template.values(of: host)
        return found.differences.allSatisfy { isFixed(template.wanted[$0.position], in: $0.observation) }
            && own.allSatisfy { isOwn(template.wanted[$0], in: found.observation(at: $0), values) }
            && template.elsewhere.indices.allSatisfy { number in
                let entry = template.elsewhere[number]
                guard let observation = elsewhere[number]?[entry.id(values).placeName] else { return false }
                return isFixed(entry.wanted, in: observation) && isOwn(entry.wanted, in: observation, values)
            }
    }

    /// Whether what every host has was found.
    private func isFixed(_ wanted: HostTemplate.Wanted, in observation: ObservedFacts.Observation) -> Bool {
        guard case .present(let found) = observation else { return false }
        return wanted.fixed.allSatisfy { found[$0.key] == $0.value }
    }

    /// Whether what is the host's own was found.
    private func isOwn(
        _ wanted: HostTemplate.Wanted, in observation: ObservedFacts.Observation, _ values: [String]
    ) -> Bool {
        guard case .present(let found) = observation else { return false }
        return wanted.own.allSatisfy { key, value in
            HostTemplate.text(value, values, inputs).map { $0 == found[key] } ?? true
        }
    }
}

import CloudModel

/// What must be done so that the world is as the topology says: desired state and observed facts in, ordered actions out.
///
/// Pure and deterministic. Applying every action and looking again gives an empty plan.
package struct Plan: Sendable, Equatable {
    /// Each after everything that it depends on.
    package let actions: [PlanAction]
    /// Resources that could not be looked at, with the reason: nothing is planned for them.
    package let unknown: [Unknown]
    /// Data of users that it would destroy.
    package let losses: [DataLoss]
    /// How far it reaches among users.
    package let radius: BlastRadius

    package struct Unknown: Sendable, Equatable {
        package let resource: Resource.ID
        package let reason: String
    }

    package var isEmpty: Bool { actions.isEmpty }

    package init(desired: DesiredState, observed: ObservedFacts) {
        var actions: [PlanAction] = []
        var unknown: [Unknown] = []
        var acting: Set<Resource.ID> = []
        var unseen: [Resource.ID: String] = [:]
        let scope = PlanScope(desired, observed)
        for (resource, found) in zip(scope.resources, scope.found) {
            let follows = resource.followsDependencies && resource.dependsOn.contains(where: acting.contains)
            let reason: PlanReason
            switch observed.observation(of: resource.id, found) {
            case .unknown(let text):
                unknown.append(Unknown(resource: resource.id, reason: text))
                unseen[resource.id] = text
                continue
            case .absent:
                reason = .absent
            case .present(let attributes):
                let differences = PlanReason.differences(wanted: resource.attributes, found: attributes)
                if !differences.isEmpty {
                    reason = .differs(differences)
                } else if follows {
                    reason = .follows
                } else {
                    continue
                }
            }
            if let reason = Self.obstacle(to: resource, unseen: unseen) {
                unknown.append(Unknown(resource: resource.id, reason: reason))
                unseen[resource.id] = reason
                continue
            }
            acting.insert(resource.id)
            actions.append(Self.action(for: resource, because: reason, acting: acting, unseen: unseen))
        }
        actions += Self.removals(of: scope.unwanted(observed), observed)
        self.actions = actions
        self.unknown = unknown
        losses = DataLoss.find(in: actions, usage: observed.usage)
        radius = BlastRadius(actions: actions, losses: losses, desired: scope.resources, usage: observed.usage)
    }

    private static func action(
        for resource: Resource, because reason: PlanReason, acting: Set<Resource.ID>, unseen: [Resource.ID: String]
    ) -> PlanAction {
        let isGate = resource.id.kind == .gate
        let effect: PlanEffect =
            switch reason {
            case .absent: isGate ? .none : .create
            case .differs(let differences): isGate ? .none : resource.effect(of: differences)
            case .follows: .none
            }
        return PlanAction(
            resource: resource.id, cell: resource.cell, what: resource.specification.sentence(for: reason),
            why: reason.text(isGate: isGate), effect: effect,
            dependsOn: resource.dependsOn.filter(acting.contains).map(\.description),
            dependsOnAny: anyOf(resource, acting: acting, unseen: unseen).map(\.description),
            specification: resource.specification)
    }

    /// Alternatives that are still to be made; none when one of them is so already.
    private static func anyOf(
        _ resource: Resource, acting: Set<Resource.ID>, unseen: [Resource.ID: String]
    ) -> [Resource.ID] {
        let isMet = resource.dependsOnAny.contains { !acting.contains($0) && unseen[$0] == nil }
        return isMet ? [] : resource.dependsOnAny.filter(acting.contains)
    }

    /// Why a resource cannot be made now: it rests on something that could not be looked at.
    private static func obstacle(to resource: Resource, unseen: [Resource.ID: String]) -> String? {
        if unseen.isEmpty { return nil }
        if let blocker = resource.dependsOn.first(where: { unseen[$0] != nil }) {
            return "needs \(blocker): \(unseen[blocker] ?? "")"
        }
        guard let first = resource.dependsOnAny.first, resource.dependsOnAny.allSatisfy({ unseen[$0] != nil }) else {
            return nil
        }
        return "needs one like \(first): \(unseen[first] ?? "")"
    }

    /// Things of ours that the topology no longer wants, in the order of removal. Within a host, or among the things of no
    /// host, each kind waits for the kinds before it.
    private static func removals(of ids: [Resource.ID], _ observed: ObservedFacts) -> [PlanAction] {
        var groups: [Resource.Kind: [Resource.ID]] = [:]
        for id in ids {
            guard case .present = observed[id] else { continue }
            groups[id.kind, default: []].append(id)
        }
        var previous: [HostName?: [String]] = [:]
        var actions: [PlanAction] = []
        for kind in Resource.Kind.removalOrder {
            var own: [HostName?: [String]] = [:]
            // Deeper paths first, so that a folder is empty when its turn comes.
            for id in (groups[kind] ?? []).sorted(by: { ($0.name, $0.description) > ($1.name, $1.description) }) {
                let before = (previous[id.host] ?? []) + (id.host == nil ? [] : previous[nil] ?? [])
                actions.append(
                    PlanAction(
                        resource: id, cell: id.servedCell, what: id.removalSentence, why: "not in the topology",
                        effect: .destroy, dependsOn: before, specification: nil))
                own[id.host, default: []].append(id.description)
            }
            previous.merge(own) { _, new in new }
        }
        return actions
    }
}

/// Why a resource needs an action.
enum PlanReason: Equatable {
    struct Difference: Equatable {
        let attribute: String
        let wanted: String
        /// `nil` when it was not found at all.
        let found: String?
    }

    case absent
    case differs([Difference])
    /// Something that it depends on changes.
    case follows

    static func differences(wanted: [String: String], found: [String: String]) -> [Difference] {
        // Most things are as they should be.
        if wanted.allSatisfy({ found[$0.key] == $0.value }) { return [] }
        return wanted.sorted { $0.key < $1.key }.compactMap { key, value in
            found[key] == value ? nil : Difference(attribute: key, wanted: value, found: found[key])
        }
    }

    func text(isGate: Bool) -> String {
        switch self {
        case .absent: isGate ? "does not answer yet" : "absent"
        case .differs(let differences):
            isGate ? "does not answer" : differences.map(\.text).joined(separator: ", ")
        case .follows: "after a change"
        }
    }
}

extension PlanReason.Difference {
    /// Digests say nothing to people.
    private static let opaque: Set<String> = ["content", "inputs", "migratedBy", "password"]

    var text: String {
        if attribute == "certificate" { return "certificate ends in \(wanted) days" }
        if Self.opaque.contains(attribute) {
            return switch attribute {
            case "inputs": "runs with older settings"
            case "migratedBy": "of another version"
            case "password": "password differs"
            default: found == nil ? "\(attribute) unknown" : "\(attribute) differs"
            }
        }
        if wanted == "installed" { return "\(attribute) is not installed" }
        return "\(attribute) is \(found.map(Self.shown) ?? "missing"), wanted \(Self.shown(wanted))"
    }

    private static func shown(_ text: String) -> String { text.isEmpty ? "none" : text }
}

extension Resource {
    /// A stopped unit that starts is no restart.
    fileprivate func effect(of differences: [PlanReason.Difference]) -> PlanEffect {
        guard id.kind == .unit else { return effectOfChange }
        if differences.contains(where: { $0.attribute == "active" }) { return .create }
        if differences.contains(where: { $0.attribute == "pendingRestart" }) { return .restart }
        // PostgreSQL takes a port only at its start.
        if differences.contains(where: { $0.attribute == "port" && $0.found != nil }) { return .restart }
        return differences.contains { $0.attribute == "inputs" } ? effectOfChange : .none
    }
}

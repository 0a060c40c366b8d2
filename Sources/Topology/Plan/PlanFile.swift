package import CloudModel
package import FoundationEssentials

/// A plan that was saved to be applied as it is, or not at all (`plan --out FILE`, `apply FILE`).
///
/// It holds digests of the topology and of the facts that its actions rest on: those about what an action changes, and about
/// everything that the action needs to be there already. What happens elsewhere in the cloud between plan and apply does
/// not matter to it. It holds no secret, and no digest of a secret alone.
package struct PlanFile: Codable, Sendable, Equatable {
    /// Grows when the meaning of a member changes; new optional members do not change it.
    package static let currentVersion = 1
    /// Bytes that a plan's file may have.
    package static let sizeLimit = 512 * 1024 * 1024

    package var version: Int
    /// Version of the tool that made it.
    package var tool: String
    package var cloud: String
    /// When the facts were looked at.
    package var madeAt: Date
    /// SHA-256 of the topology's model, addresses included.
    package var topology: String
    /// SHA-256 of the facts that the plan rests on.
    package var facts: String
    /// What `facts` is made of, so that a refusal can name what moved: by resource, short digests of what is wanted of it
    /// and what was found.
    package var basis: [String: Basis]
    /// SHA-256 of what is to be done, so that nobody edits it by accident.
    package var actions: String
    /// Cells whose data this plan may destroy.
    package var allowDataLoss: [CellPath]
    package var plan: PlanDocument

    package struct Basis: Codable, Sendable, Equatable {
        /// `removed` when it is wanted no more.
        package var wanted: String
        package var found: String
    }

    /// Saves `plan`, which was made of these.
    /// - Throws: only when the topology can't be written as JSON, which no topology that was read brings about.
    package init(
        _ plan: Plan, topology: Topology, desired: DesiredState, observed: ObservedFacts, madeAt: Date, tool: String,
        allowDataLoss: Set<CellPath> = []
    ) throws {
        version = Self.currentVersion
        self.tool = tool
        cloud = topology.name
        self.madeAt = madeAt
        self.topology = try Self.digest(of: topology)
        basis = Self.basis(of: plan.actions.map(\.resource), desired: desired, observed: observed)
        facts = Self.digest(of: basis)
        self.allowDataLoss = allowDataLoss.sorted()
        self.plan = PlanDocument(plan, cloud: topology.name)
        actions = Self.digest(of: self.plan.actions)
    }

    // MARK: Verifying

    /// The actions of this plan, made anew from the world as it is now; each says and does what the file says.
    ///
    /// Pure. Actions that the world has come to need since, and that the plan does not rest on, are left out.
    /// - Throws: ``PlanMoved`` naming what is no longer as it was.
    package func actions(
        topology: Topology, desired: DesiredState, observed: ObservedFacts
    ) throws -> [PlanAction] {
        guard cloud == topology.name else {
            throw PlanMoved(reasons: ["it was made for cloud \(cloud), not for \(topology.name)"])
        }
        guard facts == Self.digest(of: basis), actions == Self.digest(of: plan.actions) else {
            throw PlanMoved(reasons: ["the file was changed by hand"])
        }
        var reasons: [String] = []
        if try self.topology != Self.digest(of: topology) { reasons.append("the topology is another") }
        let fresh = Plan(desired: desired, observed: observed)
        let saved = Set(plan.actions.map(\.id))
        let actions = fresh.actions.filter { saved.contains($0.id) }
        let now = Self.basis(of: fresh.actions.map(\.resource), desired: desired, observed: observed, only: basis)
        reasons += Self.moves(from: basis, to: now)
        if reasons.isEmpty { reasons += differences(from: actions) }
        guard reasons.isEmpty else { throw PlanMoved(reasons: reasons) }
        return actions
    }

    private static func moves(from old: [String: Basis], to new: [String: Basis]) -> [String] {
        old.sorted { $0.key < $1.key }.compactMap { id, old in
            guard let new = new[id] else { return "\(id) is not known any more" }
            if new.found != old.found { return "\(id) is not as it was found" }
            return new.wanted != old.wanted ? "\(id) is wanted otherwise" : nil
        }
    }

    /// What a plan of the same basis can differ in only if another version of the tool made it.
    private func differences(from actions: [PlanAction]) -> [String] {
        let now = Dictionary(actions.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        return plan.actions.compactMap { action in
            guard let new = now[action.id] else { return "\(action.id) needs no action any more" }
            return new.what == action.what && new.effect == action.effect
                ? nil : "\(action.id) would be done otherwise: \(new.what)"
        }
    }

    // MARK: Digests

    private static func digest(of topology: Topology) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return ContentDigest.of(String(decoding: try encoder.encode(topology), as: UTF8.self))
    }

    private static func digest(of basis: [String: Basis]) -> String {
        ContentDigest.of(basis.mapValues { "\($0.wanted) \($0.found)" })
    }

    private static func digest(of actions: [PlanDocument.Action]) -> String {
        ContentDigest.of(actions.map { "\($0.id) \($0.effect.rawValue) \($0.what)" }.joined(separator: "\n"))
    }

    /// - Parameter only: the resources to tell of, instead of all that `changed` rest on.
    private static func basis(
        of changed: [Resource.ID], desired: DesiredState, observed: ObservedFacts, only: [String: Basis]? = nil
    ) -> [String: Basis] {
        let wanted = Dictionary(desired.resources.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        var waiting = changed
        if let only {
            // What the file rests on, whether or not it needs an action now.
            waiting += (Array(wanted.keys) + observed.observations.ids).filter { only[$0.description] != nil }
        }
        var seen: Set<Resource.ID> = []
        var basis: [String: Basis] = [:]
        while let id = waiting.popLast() {
            guard seen.insert(id).inserted else { continue }
            let resource = wanted[id]
            if only == nil { waiting += resource?.dependsOn ?? [] }
            let name = id.description
            guard only == nil || only?[name] != nil else { continue }
            basis[name] = Basis(
                wanted: resource.map { short(ContentDigest.of($0.attributes)) } ?? "removed",
                found: found(observed[id]))
        }
        return basis
    }

    private static func found(_ observation: ObservedFacts.Observation) -> String {
        switch observation {
        case .absent: "absent"
        case .unknown: "unknown"
        case .present(let attributes): short(ContentDigest.of(attributes))
        }
    }

    /// Enough of a digest to tell two states of one resource apart.
    private static func short(_ digest: String) -> String { String(digest.prefix(16)) }
}

/// A saved plan that no longer holds.
package struct PlanMoved: Error, Sendable, Equatable, CustomStringConvertible {
    /// Reasons that the description lists before it only counts.
    private static let listed = 8

    /// What is no longer as it was when the plan was made, each in a few words; never empty.
    package let reasons: [String]

    package init(reasons: [String]) { self.reasons = reasons }

    package var description: String {
        let rest = reasons.count > Self.listed ? "; and \(reasons.count - Self.listed) more" : ""
        return "the saved plan no longer holds: \(reasons.prefix(Self.listed).joined(separator: "; "))\(rest). "
            + "Nothing was done. Make a new plan"
    }
}

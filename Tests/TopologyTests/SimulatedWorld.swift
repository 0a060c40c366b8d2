import CloudModel
import Testing
import Topology

/// What there is, and what actions make of it: the least that a faithful apply does.
struct SimulatedWorld {
    private(set) var things: [Resource.ID: [String: String]] = [:]

    var facts: ObservedFacts {
        ObservedFacts(observations: Observations(things.mapValues { .present($0) }))
    }

    init() {}

    /// A world that was made for `desired` and then decayed: things are missing, altered, or were never made.
    init(decayed desired: DesiredState, using numbers: inout SeededNumbers) {
        let loss = Int.random(in: 0...40, using: &numbers)
        for resource in desired.resources {
            guard !numbers.chance(loss) else { continue }
            var attributes = resource.attributes
            if numbers.chance(loss / 2), let key = attributes.keys.sorted().randomElement(using: &numbers) {
                attributes[key] = numbers.chance(50) ? "altered" : nil
            }
            things[resource.id] = attributes
        }
    }

    /// Carries out `plan` in any order that its dependencies allow.
    /// - Returns: what was changed, wanted or as a consequence.
    mutating func apply(_ plan: Plan, desired: DesiredState, using numbers: inout SeededNumbers) -> Set<Resource.ID> {
        let before = things
        let wanted = Dictionary(desired.resources.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let known = Set(plan.actions.map(\.id))
        var waiting = plan.actions
        var done: Set<String> = []
        while !waiting.isEmpty {
            let ready = waiting.indices.filter {
                waiting[$0].dependsOn.allSatisfy { done.contains($0) || !known.contains($0) }
            }
            guard let index = ready.randomElement(using: &numbers) else {
                Issue.record("actions wait for each other in a circle: \(waiting.map(\.id))")
                break
            }
            let action = waiting.remove(at: index)
            #expect(action.dependsOn.allSatisfy(known.contains), "\(action.id) waits for what is no action")
            if let resource = wanted[action.resource] {
                make(resource, action)
            } else {
                #expect(action.specification == nil && action.effect == .destroy, "\(action.id)")
                remove(action.resource)
            }
            done.insert(action.id)
        }
        return Set(before.keys).union(things.keys).filter { before[$0] != things[$0] }
    }

    private mutating func make(_ resource: Resource, _ action: PlanAction) {
        #expect(action.specification == resource.specification, "\(action.id)")
        for dependency in resource.dependsOn {
            #expect(things[dependency] != nil, "\(action.id) is done before \(dependency) is there")
        }
        things[resource.id] = resource.attributes
    }

    private mutating func remove(_ id: Resource.ID) { things[id] = nil }
}

package import CloudModel

/// A plan as programs read it.
package struct PlanDocument: Codable, Sendable, Equatable {
    package struct Action: Codable, Sendable, Equatable {
        package var id: String
        package var kind: Resource.Kind
        package var what: String
        package var why: String
        package var effect: PlanEffect
        package var host: HostName?
        package var cell: CellPath?
        package var dependsOn: [String]
    }

    package struct Unknown: Codable, Sendable, Equatable {
        package var id: String
        package var reason: String
    }

    package var cloud: String
    package var summary: PlanSummary
    package var actions: [Action]
    package var unknown: [Unknown]

    package init(_ plan: Plan, cloud: String) {
        self.cloud = cloud
        summary = PlanSummary(plan)
        actions = plan.actions.map {
            Action(
                id: $0.id, kind: $0.resource.kind, what: $0.what, why: $0.why, effect: $0.effect, host: $0.host,
                cell: $0.cell, dependsOn: $0.dependsOn)
        }
        unknown = plan.unknown.map { Unknown(id: $0.resource.description, reason: $0.reason) }
    }
}

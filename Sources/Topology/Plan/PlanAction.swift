package import CloudModel

/// One step of a plan.
package struct PlanAction: Sendable, Equatable {
    /// The text of the resource's id: the same in every plan that touches it.
    package var id: String
    package var resource: Resource.ID
    /// `write /etc/cellwright/api.json`
    package var what: String
    /// Where it happens: a host, a cell, or both.
    package var host: HostName?
    package var cell: CellPath?
    /// `is absent`, `mode is 0644, must be 0600`
    package var why: String
    package var effect: PlanEffect
    /// Ids of actions of the same plan that must have succeeded before.
    package var dependsOn: [String]
    /// Ids of actions of the same plan, at least one of which must have succeeded before; empty when none must.
    package var dependsOnAny: [String]
    /// How to do it; `nil` when the resource is to be removed.
    package var specification: ResourceSpecification?

    package init(
        resource: Resource.ID, cell: CellPath?, what: String, why: String, effect: PlanEffect, dependsOn: [String],
        dependsOnAny: [String] = [], specification: ResourceSpecification?
    ) {
        id = resource.description
        self.resource = resource
        self.what = what
        host = resource.host
        self.cell = cell
        self.why = why
        self.effect = effect
        self.dependsOn = dependsOn
        self.dependsOnAny = dependsOnAny
        self.specification = specification
    }
}

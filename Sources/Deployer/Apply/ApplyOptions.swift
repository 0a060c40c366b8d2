package import CloudModel
package import Topology

/// How an apply goes about its work.
package struct ApplyOptions: Sendable {
    /// Leaves what was made of a new cell that failed, for somebody to look at.
    package var keepsFailed: Bool
    package var limits: ActionGraph.Limits
    /// Exactly this is done, or nothing when the world has moved since.
    package var plan: PlanFile?
    /// Cells whose servers may be lost.
    package var allowedLosses: Set<CellPath>

    package init(
        keepsFailed: Bool = false, limits: ActionGraph.Limits = ActionGraph.Limits(), plan: PlanFile? = nil,
        allowedLosses: Set<CellPath> = []
    ) {
        self.keepsFailed = keepsFailed
        self.limits = limits
        self.plan = plan
        self.allowedLosses = allowedLosses
    }
}

/// How an apply goes about its work.
package struct ApplyOptions: Sendable {
    /// Leaves what was made of a new cell that failed, for somebody to look at.
    package var keepsFailed: Bool
    package var limits: ActionGraph.Limits

    package init(keepsFailed: Bool = false, limits: ActionGraph.Limits = ActionGraph.Limits()) {
        self.keepsFailed = keepsFailed
        self.limits = limits
    }
}

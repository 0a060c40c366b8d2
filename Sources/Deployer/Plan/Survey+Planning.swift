package import Topology

extension Deployment.Survey {
    /// What these facts mean for what is desired.
    package init(desired: DesiredState, facts: ObservedFacts) {
        self.init(desired: desired, facts: facts, plan: Plan(desired: desired, observed: facts))
    }
}

/// Every interval of a supervisor towards its children, health apart: see `ChildHealth`.
package struct ParentSettings: Sendable, Equatable {
    /// Without a nudge, the mappings are read this often.
    package var pollInterval: Duration = .seconds(2)
    /// How often the directory is compared with each child's sum.
    package var auditInterval: Duration = .seconds(30)

    package init() {}
}

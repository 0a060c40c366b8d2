/// What a cell is by its place in the tree.
package enum CellKind: String, Codable, Sendable, CaseIterable {
    case root
    /// It has cells below, and no hosts.
    case branch
    /// It has hosts.
    case leaf
}

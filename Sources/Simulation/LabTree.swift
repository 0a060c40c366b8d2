package import CloudModel

/// Which cells a laboratory has below its root: leaves, and branches between when there are many.
package struct LabTree: Sendable, Equatable {
    /// So many leaves stand directly below the root, unless branches are asked for.
    package static let directLimit = 32
    /// Children of one parent, where nothing else is asked for.
    package static let childLimit = 500

    /// Children of the root; none when the leaves are that.
    package let branches: [CellPath]
    /// In the order of their numbers, which goes through the branches in turn.
    package let leaves: [CellPath]

    /// - Parameter branches: at most `cells`; as many as their number needs unless given.
    package init(cells: Int, branches: Int? = nil) {
        let count = branches ?? Self.branches(for: cells)
        precondition(cells > 0 && (0...cells).contains(count), "every branch has a leaf")
        let tops = (0..<count).compactMap { CellPath.root.child("b\($0 + 1)") }
        self.branches = tops
        leaves = (0..<cells).compactMap { number in
            (tops.isEmpty ? CellPath.root : tops[number % tops.count]).child("c\(number + 1)")
        }
    }

    /// Children of the root.
    package var top: [CellPath] { branches.isEmpty ? leaves : branches }

    package func leaves(below branch: CellPath) -> [CellPath] { leaves.filter { $0.parent == branch } }

    private static func branches(for cells: Int) -> Int {
        cells <= directLimit ? 0 : (cells + childLimit - 1) / childLimit
    }
}

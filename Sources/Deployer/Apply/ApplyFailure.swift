import CloudModel

/// An apply that did not do all of it.
package struct ApplyFailure: Error, Sendable, Equatable, CustomStringConvertible {
    /// What failed, and why, in order; failures in new cells are in ``cells``.
    package var failures: [String] = []
    /// Hosts that did not answer, and why.
    package var unreachable: [String] = []
    /// New cells that could not be made.
    package var cells: [FailedCell] = []
    /// What became of what was made of them.
    package var undoing = Undoing.none
    /// Changes that were not begun, because a stop was asked for.
    package var notBegun = 0
    package var succeeded = 0

    package enum Undoing: Sendable, Equatable {
        /// There was nothing to undo.
        case none
        /// All of it is gone: so many things.
        case done(Int)
        /// It is all there, because it was wanted so or because of this reason.
        case kept(String)
        /// Some of it is left, because of these failures.
        case failed([String])
    }

    package var isEmpty: Bool { failures.isEmpty && unreachable.isEmpty && cells.isEmpty && notBegun == 0 }

    /// Whether the rest of the work was done, as opposed to none of it.
    package var isPartial: Bool { succeeded > 0 || failures.isEmpty && cells.isEmpty }

    package var description: String {
        var lines = ["not everything was applied; \(succeeded) changes were made"]
        lines += failures.map { "  failed: \($0)" }
        for cell in cells {
            lines += cell.causes.map { "  cell \(cell.path) could not be made: \($0)" }
        }
        lines += undoingLines
        lines += unreachable.map { "  host \($0); what does not need it was done" }
        if notBegun > 0 { lines.append("  stopped before \(notBegun) changes") }
        return (lines + [advice]).joined(separator: "\n")
    }

    private var undoingLines: [String] {
        switch undoing {
        case .none: []
        case .done(let count):
            [
                "  what was made of \(cellNames) was undone (\(count) removals and corrections); other cells were left alone"
            ]
        case .kept(let why): ["  what was made of \(cellNames) is still there: \(why)"]
        case .failed(let reasons): reasons.map { "  could not be undone: \($0)" }
        }
    }

    private var cellNames: String { cells.map(\.path.description).joined(separator: ", ") }

    private var advice: String {
        let first =
            if !cells.isEmpty || !failures.isEmpty {
                "mend the cause, then run `cellwright apply` again"
            } else if !unreachable.isEmpty {
                "when the host answers again, run `cellwright apply` again"
            } else {
                "run `cellwright apply` again"
            }
        let last = cells.isEmpty ? "" : " (with --keep-failed a cell that fails is left as it is, to be looked at)"
        return "To go on, \(first): what is done stays done\(last)"
    }
}

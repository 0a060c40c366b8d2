package import CloudModel

/// What an upgrade did.
package struct UpgradeReport: Codable, Sendable, Equatable {
    /// Cells whose processes run the new executables, in that order.
    package var cells: [String]
    /// From the first look at the cloud to the end.
    package var seconds: Double
}

/// An upgrade that did not bring the new executables to every cell.
package struct UpgradeFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Ending: Sendable, Equatable {
        /// Nothing was begun.
        case refused
        /// It runs what it ran before; so many seconds after the upgrade of it began.
        case rolledBack(CellPath, seconds: Double)
        /// Some of it could not be put back, for these reasons.
        case stuck(CellPath, [String])
        /// A stop was asked for between two cells.
        case stopped
    }

    package let ending: Ending
    package let reason: String
    /// Cells that run the new executables.
    package let upgraded: [CellPath]

    init(_ ending: Ending, _ reason: String, upgraded: [CellPath] = []) {
        self.ending = ending
        self.reason = reason
        self.upgraded = upgraded
    }

    package var description: String {
        let others =
            upgraded.isEmpty
            ? "No other cell was touched"
            : "New executables run in \(upgraded.map(\.description).joined(separator: ", ")); no other cell was touched"
        switch ending {
        case .refused: return reason
        case .rolledBack(let cell, let seconds):
            return """
                cell \(cell) did not work with the new executables and runs the previous ones again, \(seconds) s \
                after it got the new ones: \(reason)
                \(others). Run `cellwright upgrade` again with a build that works
                """
        case .stuck(let cell, let problems):
            return """
                cell \(cell) did not work with the new executables: \(reason)
                and it could not be brought back: \(problems.joined(separator: "; "))
                \(others). Mend the cause, then run `cellwright upgrade` again with a build that works
                """
        case .stopped: return "stopped: \(reason). \(others). Run `cellwright upgrade` again to go on"
        }
    }
}

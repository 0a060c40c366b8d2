import Primitives

/// A leaf cell's database. Adapters: `PostgresCellStore`, ``InMemoryCellStore``; both pass one contract suite.
///
/// Decisions are pure closures: the store locks what the scope names, hands over a snapshot, and writes what the closure
/// decided, all in one transaction. The closure may run again when the database asks for a repeat. A server's row lock
/// orders everything that happens to the server and its sagas.
package protocol CellStore: ServerStore, HostStore, ChildStore {}

/// What every cell with a parent keeps, leaf or branch: its events upward, and who does what.
package protocol ChildStore: OutboxStore, DutyStore {}

package enum CellStoreError: Error, Sendable, Equatable, CustomStringConvertible {
    /// The database can't be reached, is too slow or refuses for now: the same again may work.
    case unavailable(String)
    /// The database or what is in it is wrong: a person must look.
    case broken(String)
    case cancelled

    package var description: String {
        switch self {
        case .unavailable(let detail): "the cell's database is not available: \(detail)"
        case .broken(let detail): "the cell's database is broken: \(detail)"
        case .cancelled: "cancelled"
        }
    }
}

extension CellStoreError: PassingError {
    package var isPassing: Bool {
        switch self {
        case .unavailable: true
        case .broken, .cancelled: false
        }
    }
}

import CloudModel
import Primitives

/// A tree of depth 3 that a seed draws: the root, branches, leaves with hosts; how many of each process there are.
struct TreeShape: Sendable {
    enum Role: Sendable, Hashable {
        case root
        case branch(CellPath)
        case leaf(CellPath)
        case conductor(CellPath)
        case agent(HostName, CellPath)
    }

    struct Process: Sendable, Hashable, CustomStringConvertible {
        let role: Role
        /// Among those of its role in its cell.
        let name: String

        /// Also the machine's.
        var description: String {
            switch role {
            case .root: "root-\(name)"
            case .branch(let cell), .leaf(let cell), .conductor(let cell): "\(cell)-\(name)"
            case .agent(let host, _): "\(host)"
            }
        }

        /// Virtual hosts that it speaks on.
        func vhosts(in shape: TreeShape) -> [CellPath] {
            switch role {
            case .root: shape.branches
            case .branch(let cell): [cell] + shape.leaves.filter { $0.parent == cell }
            case .leaf(let cell), .conductor(let cell), .agent(_, let cell): [cell]
            }
        }
    }

    var branches: [CellPath] = []
    var leaves: [CellPath] = []
    var hosts: [(name: HostName, cell: CellPath)] = []
    var processes: [Process] = []

    init(using chance: inout SplitMix) {
        func draw(_ range: ClosedRange<Int>) -> Int { Int.random(in: range, using: &chance) }
        func add(_ role: Role, _ letter: String, _ count: Int) {
            for number in 1...count { processes.append(Process(role: role, name: "\(letter)\(number)")) }
        }
        add(.root, "s", draw(1...2))
        for branch in ["a", "b"].prefix(draw(1...2)).compactMap({ CellPath("/\($0)") }) {
            branches.append(branch)
            add(.branch(branch), "s", draw(0...3) == 0 ? 2 : 1)
            let count = branches.count == 1 ? draw(1...2) : 1
            for leaf in ["x", "y"].prefix(count).compactMap({ branch.child($0) }) {
                leaves.append(leaf)
                add(.leaf(leaf), "s", draw(0...3) == 0 ? 2 : 1)
                add(.conductor(leaf), "c", draw(1...2))
                for number in 1...draw(1...2) {
                    let host = HostName("\(branch.name)\(leaf.name)-\(number)")
                    hosts.append((host, leaf))
                    processes.append(Process(role: .agent(host, leaf), name: "agent"))
                }
            }
        }
    }

    var cells: [CellPath] { [.root] + branches + leaves }
}

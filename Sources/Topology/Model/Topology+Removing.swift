package import CloudModel

extension Topology {
    /// The same topology without these cells and what is below them. Machines stay, even those that nothing uses then.
    package func removing(cells removed: Set<CellPath>) -> Topology {
        func kept(_ cell: Cell) -> Cell {
            guard case .children(let children) = cell.content else { return cell }
            var cell = cell
            cell.content = .children(children.filter { !removed.contains($0.path) }.map(kept))
            return cell
        }
        var result = self
        result.root = kept(root)
        return result
    }

    /// Hosts that only these cells, and what is below them, use.
    package func hosts(onlyOf cells: Set<CellPath>) -> Set<HostName> {
        Set(rolesByHost.keys).subtracting(removing(cells: cells).rolesByHost.keys)
    }
}

package import CloudModel

/// Servers that live somewhere, and whose they are: what a plan's blast radius is counted in.
package struct Usage: Sendable, Equatable {
    package var instances: Int
    /// Projects that own at least one of them.
    package var projects: Set<ProjectID>

    package init(instances: Int = 0, projects: Set<ProjectID> = []) {
        self.instances = instances
        self.projects = projects
    }

    package static func + (left: Usage, right: Usage) -> Usage {
        Usage(instances: left.instances + right.instances, projects: left.projects.union(right.projects))
    }
}

/// What a cell's database says of the servers in it, those that are deleted left out.
///
/// Facts hold one for every cell whose database was found and could be asked, whether the topology still has the cell or
/// not. A database without servers' tables (a branch's, one just made) gives an empty one. A cell without an entry is one
/// that nobody could ask: it counts as holding servers.
package struct CellUsage: Sendable, Equatable {
    /// Every server of the cell, on a host or not.
    package var total: Usage
    /// Those on hosts. A host that is missing has none.
    package var hosts: [HostName: Usage]

    package init(total: Usage = Usage(), hosts: [HostName: Usage] = [:]) {
        self.total = total
        self.hosts = hosts
    }
}

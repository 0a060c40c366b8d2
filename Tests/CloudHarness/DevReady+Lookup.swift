package import Deployer

extension DevReady {
    package func process(_ name: String) throws -> DevReady.Process {
        guard let found = processes.first(where: { $0.name == name }) else {
            throw HarnessFailure("the cloud has no process \(name)")
        }
        return found
    }

    /// Our own processes, servers apart.
    package var services: [DevReady.Process] { processes.filter { $0.configuration != nil } }

    /// The process id now, which is another one after a restart; nil while it is away.
    package func pid(of name: String) throws -> Int32? {
        guard let file = try process(name).configuration else { return nil }
        return ProcessTable.find(argument: file)
    }

    /// Every process of a service or a server as they are now, whatever was started again: they write to its log.
    package func pids(of name: String) throws -> Set<Int32> {
        let log = try process(name).log
        let own = ProcessTable.tree(of: pid).filter { ProcessTable.openFiles(of: $0).contains(log) }
        return Set(own.flatMap { ProcessTable.tree(of: $0) })
    }

    package var root: Cell {
        get throws {
            guard let root = cells.first(where: { $0.path == "/" }) else { throw HarnessFailure("no root cell") }
            return root
        }
    }

    package var leaves: [Cell] { cells.filter { $0.path != "/" } }
    package var hosts: [String] { leaves.flatMap(\.hosts) }

    package func leaf(of host: String) throws -> Cell {
        guard let cell = leaves.first(where: { $0.hosts.contains(host) }) else {
            throw HarnessFailure("no cell has the host \(host)")
        }
        return cell
    }
}

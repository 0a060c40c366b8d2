import CloudModel
package import Topology

extension Topology {
    /// The machine that everything runs on in a development cloud.
    static let devMachine: HostName = "localhost"

    /// The names of this machine under which replicas run on it, itself first.
    static func devMachines(_ replicas: Int) -> [HostName] {
        [devMachine] + (1..<max(1, replicas)).map { HostName("\(devMachine)-\($0 + 1)") }
    }

    /// The same cloud with every server and control plane on this machine, and simulated hosts only.
    /// - Parameter replicas: of the API, of every cell's supervisor and of its conductor.
    package func forDevelopment(hostsPerCell: Int?, replicas: Int = 1) -> Topology {
        let machines = Self.devMachines(replicas)
        func visit(_ cell: Cell) -> Cell {
            let content: Cell.Content =
                switch cell.content {
                case .children(let cells): .children(cells.map(visit))
                case .hosts(let hosts): .hosts(Self.simulated(hosts, of: cell, count: hostsPerCell))
                }
            return Cell(
                path: cell.path, controlHosts: machines,
                database: .embedded(.init(host: Self.devMachine)), broker: .embedded(.init(host: Self.devMachine)),
                content: content)
        }
        var result = self
        result.lab = nil
        result.tls = .off
        result.api = API(hosts: machines, listenAddress: "127.0.0.1")
        result.machines = machines.map { Host(name: $0, address: "127.0.0.1") }
        result.root = visit(root)
        return result
    }

    private static func simulated(_ hosts: [Host], of cell: Cell, count: Int?) -> [Host] {
        var made = hosts
        if let count {
            made = (0..<count).map { index in
                var host = hosts.isEmpty ? Host(name: "") : hosts[index % hosts.count]
                host.name = HostName("\(cell.path.slug)-\(index + 1)")
                return host
            }
        }
        return made.map { host in
            var host = host
            host.address = "127.0.0.1"
            host.hypervisor = Hypervisor(driver: .simulated)
            return host
        }
    }
}

import CloudModel
import Topology

/// Reads what ``query`` prints in each cell's database.
struct CellContentProbe {
    /// Prints `cell` lines of a parent's directory, `servers` lines by host and project, and last `asked`.
    static let query = """
        select to_regclass('directory.cells') is not null as mapped, to_regclass('cell.instances') is not null as filled \\gset
        \\if :mapped
        select 'cell', path, bus->>'host', bus->>'port', bus->>'vhost', bus->>'user',
          coalesce(bus->>'tls', 'false'), coalesce(bus->>'authority', '') from directory.cells where bus->>'vhost' is not null;
        \\endif
        \\if :filled
        select 'servers', current_database(), coalesce(host, ''), project_id, count(*) from cell.instances
          where not is_deleted group by host, project_id;
        \\endif
        select 'asked', current_database();
        """

    private(set) var mappings: [Resource.ID: ObservedFacts.Observation] = [:]
    private(set) var usage: [CellPath: CellUsage] = [:]

    init(output: String) {
        for line in output.lines {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            switch (fields[0], fields.count) {
            case ("cell", 8):
                guard let path = CellPath(fields[1]) else { continue }
                mappings[.init(.cellMapping, cell: path, name: path.name)] = .present([
                    "path": fields[1], "host": fields[2], "port": fields[3], "vhost": fields[4], "user": fields[5],
                    "tls": fields[6] == "true" ? "yes" : "no", "authority": fields[7],
                ])
            case ("servers", 5): addServers(fields)
            case ("asked", 2):
                guard let path = CellPath(resourceName: fields[1]) else { continue }
                usage[path] = usage[path] ?? CellUsage()
            default: break
            }
        }
    }

    private mutating func addServers(_ fields: [String]) {
        guard let path = CellPath(resourceName: fields[1]), let count = Int(fields[4]) else { return }
        let usage = Usage(instances: count, projects: [ProjectID(fields[3])])
        self.usage[path, default: CellUsage()].total = (self.usage[path]?.total ?? Usage()) + usage
        guard !fields[2].isEmpty else { return }
        let host = HostName(fields[2])
        self.usage[path, default: CellUsage()].hosts[host] = (self.usage[path]?.hosts[host] ?? Usage()) + usage
    }
}

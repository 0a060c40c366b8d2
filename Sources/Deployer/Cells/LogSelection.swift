package import CloudModel
import FoundationEssentials
import Primitives
package import Topology

/// Processes whose logs somebody wants to read.
package struct LogSelection: Sendable, Equatable {
    package struct Source: Sendable, Hashable {
        package var host: HostName
        package var unit: String
    }

    package let sources: [Source]

    /// What `names` mean in a topology: a cell's path or name, a host, a unit, or a kind of process (`api`, `supervisor`,
    /// `conductor`, `compute`). All processes when there is none.
    /// - Throws: ``CellsFailure/unknown`` with the nearest name.
    package init(_ names: [String], in topology: Topology) throws(CellsFailure) {
        let processes = ProcessLayout(topology).processes
        guard !names.isEmpty else {
            sources = Self.sources(processes)
            return
        }
        var chosen: [ProcessLayout.Process] = []
        for name in names {
            let path = CellPath(name.hasPrefix("/") ? name : "/" + name)
            let found = processes.filter { process in
                process.host.text == name || process.unit == name || process.unit == name + ".service"
                    || process.kind.rawValue == name || (path != nil && process.cell == path)
            }
            guard !found.isEmpty else {
                let known =
                    topology.cells.map(\.path.description) + processes.map(\.host.text)
                    + ProcessLayout.Kind.allCases.map(\.rawValue) + processes.map(\.unit)
                throw .unknown("cell, host or process \(name)", nearest: NearestName.of(name, among: known))
            }
            chosen += found
        }
        sources = Self.sources(chosen)
    }

    package var byHost: [HostName: [String]] {
        Dictionary(grouping: sources, by: \.host).mapValues { $0.map(\.unit) }
    }

    private static func sources(_ processes: [ProcessLayout.Process]) -> [Source] {
        var seen: Set<Source> = []
        return processes.map { Source(host: $0.host, unit: $0.unit) }.filter { seen.insert($0).inserted }
    }
}

/// One line of a process's log.
package struct LogLine: Codable, Sendable, Equatable {
    /// Microseconds since 1970, as journald stamped it.
    package var time: Int64
    package var host: String
    package var unit: String
    /// What the process wrote: a JSON object of ours, or text of its system.
    package var message: String

    /// Reads a line of `journalctl -o json`; nil for one that is no entry.
    init?(_ line: String, host: HostName) {
        let entry: JSONValue
        do {
            entry = try JSONDecoder().decode(JSONValue.self, from: Data(line.utf8))
        } catch {
            return nil
        }
        guard let time = entry["__REALTIME_TIMESTAMP"]?.string.flatMap({ Int64($0) }) else { return nil }
        self.time = time
        self.host = host.text
        // What systemd says of a unit names it apart.
        unit = entry["UNIT"]?.string ?? entry["_SYSTEMD_UNIT"]?.string ?? "?"
        message = entry["MESSAGE"]?.string ?? ""
    }

    /// `06:10:38.123 north-1 compute.north  notice  host is set  host=n1 enabled=false`
    package var text: String {
        let date = Date(timeIntervalSince1970: Double(time) / 1_000_000)
        let clock = Timestamp.microseconds(date).dropFirst(11).prefix(12)
        var name = unit
        if name.hasSuffix(".service") { name.removeLast(".service".count) }
        if name.hasPrefix("cellwright-") { name.removeFirst("cellwright-".count) }
        return "\(clock) \(host) \(name)  \(Self.plain(message))"
    }

    private static let hidden: Set<String> = ["message", "level", "time", "timestamp", "service", "label"]

    /// Our processes write a JSON object a line.
    private static func plain(_ message: String) -> String {
        guard message.hasPrefix("{") else { return message }
        do {
            let fields = try JSONDecoder().decode(JSONValue.self, from: Data(message.utf8)).object ?? [:]
            guard let text = fields["message"]?.string else { return message }
            let rest = fields.filter { !hidden.contains($0.key) }.sorted { $0.key < $1.key }
                .map { "\($0.key)=\($0.value.string ?? $0.value.text)" }
            return ([fields["level"]?.string ?? "info", text] + rest).joined(separator: "  ")
        } catch {
            return message
        }
    }
}

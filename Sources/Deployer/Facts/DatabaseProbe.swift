import CloudModel
import Primitives
import Topology

/// Reads what ``PostgresScript/facts(settings:)`` prints.
struct DatabaseProbe {
    /// By which a running server tells what settings it has read.
    static let inputsSetting = "cellwright.inputs"
    /// Taken only at a start.
    static let portSetting = "port"

    private(set) var observations: [Resource.ID: ObservedFacts.Observation] = [:]
    /// What the server itself says about its unit.
    private(set) var unitAttributes: [String: String] = [:]
    /// Build of ours that last brought a database's schema up, by database.
    private(set) var migratedBy: [String: String] = [:]
    private(set) var isComplete = false

    /// - Parameters:
    ///   - host: the server's, `nil` for one of somebody else's.
    ///   - passwords: of the roles that the topology wants.
    init(output: String, host: HostName?, passwords: [String: Secret]) {
        for line in output.lines {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            switch (fields[0], fields.count) {
            case ("role", 5):
                let isCurrent = passwords[fields[1]].map { PostgresScript.isVerifier(fields[4], of: $0) } ?? false
                observations[.init(.databaseRole, host: host, name: fields[1])] = .present([
                    "login": fields[2] == "t" ? "yes" : "no", "superuser": fields[3] == "t" ? "yes" : "no",
                    "password": isCurrent ? "current" : "other",
                ])
            case ("database", 5):
                observations[.init(.database, host: host, name: fields[1])] = .present([
                    "owner": fields[2], "publicConnect": fields[3] == "t" ? "yes" : "no",
                ])
                migratedBy[fields[1]] = PostgresScript.migratedBy(fields[4])
            case ("pending", 2): unitAttributes["pendingRestart"] = fields[1] == "0" ? "no" : "yes"
            case ("setting", 3):
                if fields[1] == Self.inputsSetting { unitAttributes["inputs"] = fields[2] }
                if fields[1] == Self.portSetting { unitAttributes["port"] = fields[2] }
            case ("end", 1): isComplete = true
            default: break
            }
        }
    }
}

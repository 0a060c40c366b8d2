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
    /// Older servers lack what our scripts ask for.
    static let oldest = 13
    /// The server's major version.
    private(set) var version = 0

    private let place: HostName
    private let passwords: [String: Secret]
    private let ownership: Ownership?
    /// What came of logging in, by role.
    private var trials: [String: String] = [:]
    /// Roles of this cloud, whose databases are its own as well.
    private var ours: Set<String> = []

    /// - Parameters:
    ///   - place: where the server is: see ``ResourceSpecification/DatabaseServer/place``.
    ///   - passwords: of the roles that the topology wants.
    ///   - ownership: for a server that others use, too; things of others are left out, and those of them that have a
    ///     name of ours are unknown.
    init(output: String, place: HostName, passwords: [String: Secret], ownership: Ownership? = nil) {
        self.place = place
        self.passwords = passwords
        self.ownership = ownership
        for line in output.lines {
            let fields = line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init)
            switch (fields[0], fields.count) {
            case ("version", 2): version = (Int(fields[1]) ?? 0) / 10_000
            case ("tried", 3): trials[fields[1]] = fields[2]
            case ("role", 6): role(fields)
            case ("database", 5): database(fields)
            case ("pending", 2): unitAttributes["pendingRestart"] = fields[1] == "0" ? "no" : "yes"
            case ("setting", 3):
                if fields[1] == Self.inputsSetting { unitAttributes["inputs"] = fields[2] }
                if fields[1] == Self.portSetting { unitAttributes["port"] = fields[2] }
            case ("end", 1): isComplete = true
            default: break
            }
        }
    }
    private mutating func role(_ fields: [String]) {
        let name = fields[1]
        let id = Resource.ID(.databaseRole, host: place, name: name)
        if let ownership, ownership.mark != fields[5] {
            guard ownership.wanted.contains(name) else { return }
            observations[id] = .unknown(ownership.stranger("role \(name)", marked: fields[5]))
            return
        }
        ours.insert(name)
        let isCurrent: Bool
        if let trial = trials[name] {
            switch Self.isLetIn(trial) {
            case let known?: isCurrent = known
            case nil:
                observations[id] = .unknown("role \(name) could not be tried: \(trial)")
                return
            }
        } else {
            isCurrent = passwords[name].map { PostgresScript.isVerifier(fields[4], of: $0) } ?? false
        }
        observations[id] = .present([
            "login": fields[2] == "t" ? "yes" : "no", "superuser": fields[3] == "t" ? "yes" : "no",
            "password": isCurrent ? "current" : "other",
        ])
    }

    /// Whether what psql said means that the password is right; `nil` when it says nothing about that.
    private static func isLetIn(_ trial: String) -> Bool? {
        if trial == "in" { return true }
        if trial.contains("password authentication failed") || trial.contains("is not permitted to log in") {
            return false
        }
        // The server looks for the database after it has let somebody in.
        return trial.contains("does not exist") || trial.contains("permission denied for database") ? true : nil
    }

    private mutating func database(_ fields: [String]) {
        let name = fields[1]
        let id = Resource.ID(.database, host: place, name: name)
        if let ownership, !ours.contains(name) {
            guard ownership.wanted.contains(name) else { return }
            observations[id] = .unknown("database \(name) is there already and no role of this cloud has its name")
            return
        }
        observations[id] = .present(["owner": fields[2], "publicConnect": fields[3] == "t" ? "yes" : "no"])
        migratedBy[name] = PostgresScript.migratedBy(fields[4])
    }
}

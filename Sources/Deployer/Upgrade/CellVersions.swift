import CloudModel
import FoundationEssentials
import Topology

/// Which versions the parts of a cell must tell the root: what proves that they work, beyond answering on their host.
struct CellVersions: Sendable, Equatable {
    /// Digits of an executable's digest that a version ends with.
    private static let digits = 12

    var cell: CellPath
    /// Digest of the leaf's supervisor; `nil` for a cell that has hosts of its own nowhere.
    var supervisor: String?
    /// Hosts that must be heard, each with the digest of its agent, or `nil` for whatever it has. Hosts that were down
    /// before an upgrade are none of its business.
    var agents: [String: String?]

    /// What is missing, for people; empty when all of it is so.
    func missing(cells: [CellReport], hosts: [HostReport]) -> [String] {
        guard !cell.isRoot else { return [] }
        guard let report = cells.first(where: { $0.path == cell.description }) else {
            return ["the root does not know cell \(cell)"]
        }
        var found: [String] = []
        if report.health.state == "down" {
            found.append("the root does not hear cell \(cell): \(report.health.reason ?? "no reason given")")
        }
        if let supervisor, !Self.is(report.versions.supervisor, of: supervisor) {
            let told = Self.told(report.versions.supervisor)
            found.append("the supervisor of \(cell) tells \(told), \(Self.wanted(supervisor))")
        }
        for (name, digest) in agents.sorted(by: { $0.key < $1.key }) {
            guard let host = hosts.first(where: { $0.name == name }), host.state == "up" else {
                found.append("the agent of \(name) is not heard")
                continue
            }
            if let digest, !Self.is(host.agentVersion, of: digest) {
                found.append("the agent of \(name) tells \(Self.told(host.agentVersion)), \(Self.wanted(digest))")
            }
        }
        return found
    }

    private static func `is`(_ version: String?, of digest: String) -> Bool {
        version?.hasSuffix("+\(digest.prefix(digits))") == true
    }

    private static func told(_ version: String?) -> String { version.map { "version \($0)" } ?? "no version" }

    private static func wanted(_ digest: String) -> String { "which is not …+\(digest.prefix(digits))" }
}

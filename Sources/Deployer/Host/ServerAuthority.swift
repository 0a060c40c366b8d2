import FoundationEssentials
import Topology

/// How a script verifies a server that somebody else runs.
enum ServerAuthority: Sendable, Equatable {
    /// Not at all: it is reached without TLS.
    case none
    /// By what the host's own system trusts.
    case system
    /// By these certificates.
    case certificates(String)

    /// Whether ``preamble`` makes a file.
    var isTemporary: Bool {
        if case .certificates = self { true } else { false }
    }

    /// Shell lines that leave in `$authority` the path of a file with the certificates; empty without TLS. A file that is
    /// made for it goes with the script.
    var preamble: String {
        switch self {
        case .none: "authority="
        case .system: "authority=\(ProcessLayout.Paths.systemAuthorities)"
        case .certificates(let text):
            """
            authority=$(mktemp)
            trap 'rm -f "$authority"' EXIT
            base64 -d > "$authority" <<'CELLWRIGHT'
            \(Data(text.utf8).base64EncodedString())
            CELLWRIGHT
            """
        }
    }
}

/// What tells the things of this cloud on a server that somebody else runs, and that others may use, too.
struct Ownership: Sendable, Equatable {
    /// Written on everything that is made there.
    let mark: String
    /// Names that the topology wants there.
    let wanted: Set<String>

    static func mark(cloud: String) -> String { "cellwright cloud \(cloud)" }

    /// What a thing is that has the name of one of ours and bears another mark.
    func stranger(_ what: String, marked: String) -> String {
        "\(what) is there already and is not of this cloud: it bears "
            + (marked.isEmpty ? "no mark" : "\"\(marked)\"") + " instead of \"\(mark)\""
    }
}

import FoundationEssentials

/// A host that scripts can be run on. The apply engine sees hosts only through this, so tests can stand in for them.
package protocol HostConnection: Sendable {
    /// The host's name in the topology.
    var name: String { get }

    /// Runs a bash script as root to its end. The script travels over standard input, so it may hold secrets;
    /// it stops at the first command that fails (`set -eu`).
    /// - Throws: ``HostFailure`` when the host cannot be reached or does not answer in time. A status other than 0 is a
    ///   result.
    func run(_ script: String, timeout: Duration) async throws -> CommandResult

    /// Runs a script that takes no time to speak of in the same way. Those of one host that wait for each other may go
    /// together, because a call takes longer than they do.
    func runShort(_ script: String) async throws -> CommandResult

    /// Puts the gzip-compressed local file `compressed` on the host, uncompressed, at `destination`: written beside it
    /// and renamed, so that there is never a part of it. `digest` is the SHA-256 of the uncompressed bytes, checked there.
    func upload(compressed: String, digest: String, to destination: String, mode: String, owner: String) async throws
}

extension HostConnection {
    static var shortTimeout: Duration { .seconds(60) }

    package func runShort(_ script: String) async throws -> CommandResult {
        try await run(script, timeout: Self.shortTimeout)
    }

    /// Runs a script that must end with status 0 and returns its standard output.
    /// - Parameter what: says in errors what was tried; scripts are never shown, for they may hold secrets.
    @discardableResult
    package func check(_ what: String, _ script: String, timeout: Duration = .seconds(60)) async throws -> String {
        try checked(what, try await run(script, timeout: timeout))
    }

    /// The same for a script that takes no time to speak of.
    @discardableResult
    package func checkShort(_ what: String, _ script: String) async throws -> String {
        try checked(what, try await runShort(script))
    }

    private func checked(_ what: String, _ result: CommandResult) throws -> String {
        guard result.status == 0 else {
            throw HostFailure(host: name, what: what, reason: .status(result.status, result.complaint))
        }
        return result.standardOutput
    }
}

package struct HostFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Reason: Sendable, Equatable {
        case unreachable(String)
        case timedOut(Duration)
        /// Exit status of what was run, and what it said.
        case status(Int32, String)
    }

    package let host: String
    package let what: String
    package let reason: Reason

    package init(host: String, what: String, reason: Reason) {
        self.host = host
        self.what = what
        self.reason = reason
    }

    package var description: String {
        switch reason {
        case .unreachable(let why): "host \(host) cannot be reached by ssh: \(why)"
        case .timedOut(let limit): "host \(host): \(what): no answer within \(limit.components.seconds) s"
        case .status(let status, let complaint): "host \(host): \(what) failed (status \(status)): \(complaint)"
        }
    }
}

import CloudModel
import FoundationEssentials
import Primitives
import Topology

/// Reads the journals of the hosts by SSH.
package struct LogReader: Sendable {
    /// Lines of one host, at most.
    package static let lineLimit = 10_000
    static let fetchTimeout = Duration.seconds(30)
    /// A log is followed for a day at most.
    static let followTimeout = Duration.seconds(86_400)

    package struct Wish: Sendable {
        /// Newest lines of each host.
        package var lines: Int
        /// As journald takes it: `10 min ago`, `today`, `2026-11-23 06:00`.
        package var since: String?

        package init(lines: Int, since: String?) {
            self.lines = lines
            self.since = since
        }
    }

    let hosts: HostPool

    /// What the hosts have, in order of time, and why some have nothing to say.
    func read(_ selection: LogSelection, _ wish: Wish) async throws -> (lines: [LogLine], problems: [String]) {
        let answers = try await parallelMap(selection.byHost.sorted { $0.key < $1.key }, limit: HostPool.parallel) {
            host, units -> (lines: [LogLine], problem: String?) in
            do {
                let output = try await hosts.connection(host).check(
                    "read the journal", Self.command(units, wish, follows: false), timeout: Self.fetchTimeout)
                return (output.lines.compactMap { LogLine($0, host: host) }, nil)
            } catch let failure as HostFailure {
                return ([], failure.description)
            }
        }
        return (answers.flatMap(\.lines).sorted { $0.time < $1.time }, answers.compactMap(\.problem))
    }

    /// Hands over what comes from now on, until cancelled or until no host is left to hear.
    func follow(
        _ selection: LogSelection, onLine: @escaping @Sendable (LogLine) -> Void,
        onProblem: @escaping @Sendable (String) -> Void
    ) async {
        await withTaskGroup(of: Void.self) { group in
            for (host, units) in selection.byHost {
                guard let connection = hosts.connections[host] as? SSHConnection else { continue }
                let command = Self.command(units, Wish(lines: 0, since: nil), follows: true)
                group.addTask {
                    do {
                        try await connection.follow(command, timeout: Self.followTimeout) { line in
                            if let line = LogLine(line, host: host) { onLine(line) }
                        }
                    } catch {
                        await Self.report(error, of: host, onProblem)
                    }
                }
            }
        }
    }

    /// How long an interrupt may take to reach this process after it has ended ssh, which gets it as well.
    private static let interruptDelay = Duration.milliseconds(300)

    private static func report(_ error: any Error, of host: HostName, _ onProblem: @Sendable (String) -> Void) async {
        do {
            try await ContinuousClock().sleep(for: interruptDelay)
            onProblem("host \(host) is heard no more: \(end(error))")
        } catch {
            // Whoever listened has gone.
        }
    }

    /// Why following ended. What a process wrote is left out.
    static func end(_ error: any Error) -> String {
        guard let failure = error as? CommandFailure, case .status(let status, _) = failure.reason else {
            return ErrorChain(error).description
        }
        return "its connection ended (status \(status))"
    }

    static func command(_ units: [String], _ wish: Wish, follows: Bool) -> String {
        var words = [
            "journalctl", "--quiet", "--no-pager", "--output=json",
            "--output-fields=MESSAGE,_SYSTEMD_UNIT,UNIT", "--lines=\(min(wish.lines, lineLimit))",
        ]
        if follows { words.append("--follow") }
        if let since = wish.since { words.append("--since=\(since)") }
        words += units.map { "--unit=\($0)" }
        return words.map(ShellQuoting.quoted).joined(separator: " ")
    }
}

extension Deployment {
    /// Reads logs, then follows them if that is wanted.
    /// - Parameters:
    ///   - onLine: gets each line, one call at a time for what is there already.
    ///   - onProblem: hosts whose journal can't be read, with the reason.
    package func logs(
        _ names: [String], _ wish: LogReader.Wish, follows: Bool,
        onLine: @escaping @Sendable (LogLine) -> Void, onProblem: @escaping @Sendable (String) -> Void
    ) async throws {
        let selection = try LogSelection(names, in: settings.topology)
        let wanted = Set(selection.byHost.keys)
        let hosts = try await HostPool.open(settings.targets.filter { wanted.contains($0.key) })
        let reader = LogReader(hosts: hosts)
        let (lines, problems) = try await reader.read(selection, wish)
        for line in lines { onLine(line) }
        for problem in problems { onProblem(problem) }
        if follows { await reader.follow(selection, onLine: onLine, onProblem: onProblem) }
    }
}

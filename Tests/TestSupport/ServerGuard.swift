import Glibc
import Synchronization

/// Stops the server and removes its folder when this process ends, however it ends.
final class ServerGuard: Sendable {
    private static let running = Mutex<[ServerGuard]>([])

    private let pipe: Int32
    private let child: ChildProcess

    init(_ programs: ServerPrograms, folder: String) throws(PrivatePostgres.Failure) {
        var ends: [Int32] = [0, 0]
        guard Glibc.pipe(&ends) == 0 else { throw PrivatePostgres.Failure(description: "pipe: errno \(errno)") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let stop = programs.command("pg_ctl", ["-D", "$1/data", "-w", "-t", "30", "-m", "immediate", "stop"])
        let words = stop.map { "\"\($0)\"" }.joined(separator: " ")
        // `read` returns at the end of the pipe; nothing is ever written to it.
        let script = "read -r never; cd /; [ -f \"$1/data/postmaster.pid\" ] && \(words); rm -rf -- \"$1\""
        defer { close(ends[0]) }
        do throws(PrivatePostgres.Failure) {
            child = try ChildProcess(
                // A session of its own, so that the terminal's interrupt does not reach it.
                ["/usr/bin/setsid", "/bin/sh", "-c", script, "server-guard", folder], output: "/dev/null", folder: "/",
                input: ends[0])
        } catch {
            close(ends[1])
            throw error
        }
        pipe = ends[1]
        let isFirst = Self.running.withLock { running in
            running.append(self)
            return running.count == 1
        }
        if isFirst { atexit { ServerGuard.finishAll() } }
    }

    /// Lets the guards do their work and waits for them; one that takes too long goes on alone.
    private static func finishAll() {
        for each in running.withLock({ $0 }) {
            close(each.pipe)
            _ = each.child.wait(atMost: .seconds(300))
        }
    }
}

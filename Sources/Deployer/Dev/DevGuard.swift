import Glibc
import SystemPackage
import Synchronization

/// Ends the children when this process is gone, however it went.
///
/// A shell in a session of its own holds the read end of a pipe whose write end only this process has. It is told of
/// every child before that child executes anything (``DevProcess`` holds it back until then), so that no moment is left in
/// which a SIGKILL of this process would leave one behind. It is told of every child's end too: the kernel may give the
/// number of a group that is gone to somebody else's.
final class DevGuard: Sendable {
    /// The arguments are files and folders to remove. Lines are `SIGNAL PID` of a process group's leader, or `gone PID`.
    private static let script = """
        all=
        forget() { kept=; for entry in $all; do [ "${entry#*:}" = "$1" ] || kept="$kept $entry"; done; all=$kept; }
        while read -r signal pid; do
            if [ "$signal" = gone ]; then forget "$pid"; else all="$all $signal:$pid"; fi
        done
        trap '' HUP INT TERM
        each() { for entry in $all; do kill -s "${1:-${entry%%:*}}" -- "-${entry#*:}" 2>/dev/null && alive=1; done; }
        each ''
        tries=0
        while [ $tries -lt 30 ]; do
            alive=
            each 0
            [ -z "$alive" ] && break
            sleep 0.1
            tries=$((tries + 1))
        done
        each KILL
        rm -rf -- "$@"
        """

    /// POSIX_SPAWN_SETSID, which the C library has under a feature macro.
    private static let newSession: Int16 = 0x80

    private struct State {
        var groups: [pid_t] = []
        var isClosed = false
    }

    private let pipe: Int32
    private let child: pid_t
    private let state = Mutex(State())

    /// - Parameter folders: removed when this process dies without ``finish()``.
    /// - Parameter lock: an open lock that the guard holds on to, so that nobody begins anew before it has cleaned up.
    init(folders: [String], lock: Int32) throws {
        var ends: [Int32] = [0, 0]
        guard Glibc.pipe(&ends) == 0 else { throw Errno(rawValue: errno) }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        do {
            child = try Self.spawn(input: ends[0], lock: lock, folders: folders)
        } catch {
            close(ends[1])
            throw error
        }
        pipe = ends[1]
    }

    /// From now on the group of `leader` is ended when this process is gone: by `signal` at first, then by SIGKILL.
    func add(leader: pid_t, signal: String) throws {
        try state.withLock { state in
            guard !state.isClosed else { throw Errno.brokenPipe }
            try tell("\(signal) \(leader)")
            state.groups.append(leader)
        }
    }

    /// The child has ended: what is left of its group ends at once, and its number means nothing any more.
    func remove(leader: pid_t) throws {
        try state.withLock { state in
            guard !state.isClosed, let index = state.groups.firstIndex(of: leader) else { return }
            kill(-leader, SIGKILL)
            state.groups.remove(at: index)
            try tell("gone \(leader)")
        }
    }

    /// Held under the lock, so that lines stay whole and in order.
    private func tell(_ line: String) throws {
        let bytes = Array("\(line)\n".utf8)
        guard write(pipe, bytes, bytes.count) == bytes.count else { throw Errno(rawValue: errno) }
    }

    /// Leaders of the groups that would be ended now.
    var leaders: [pid_t] { state.withLock { $0.groups } }

    /// Ends whatever is left of the children's groups, and the guard itself. Blocks for the few milliseconds that takes.
    func finish() {
        let groups: [pid_t]? = state.withLock { state in
            guard !state.isClosed else { return nil }
            state.isClosed = true
            return state.groups
        }
        guard let groups else { return }
        for group in groups { kill(-group, SIGKILL) }
        kill(-child, SIGKILL)
        close(pipe)
        var status: Int32 = 0
        while waitpid(child, &status, 0) < 0, errno == EINTR {}
    }

    deinit { finish() }

    private static func spawn(input: Int32, lock: Int32, folders: [String]) throws -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, 0)
        posix_spawn_file_actions_adddup2(&actions, lock, 3)
        for output in [1, 2] as [Int32] {
            posix_spawn_file_actions_addopen(&actions, output, "/dev/null", O_WRONLY, 0)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK) | Self.newSession)
        let words = (["/bin/sh", "-c", script, "cellwright-dev-guard"] + folders).map { $0.withCString { strdup($0) } }
        defer { for word in words { free(word) } }
        let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"].map { $0.withCString { strdup($0) } }
        defer { for word in environment { free(word) } }
        var child = pid_t()
        let code = posix_spawn(&child, "/bin/sh", &actions, &attributes, words + [nil], environment + [nil])
        guard code == 0 else { throw Errno(rawValue: code) }
        return child
    }
}

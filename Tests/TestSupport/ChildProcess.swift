import Glibc

/// A child process with nothing of ours open: input from /dev/null or a pipe, output to a file.
struct ChildProcess: Sendable {
    let processID: pid_t

    /// Starts `command` in `folder`. `input` becomes its standard input; `ownSession` keeps the terminal's signals away.
    init(
        _ command: [String], output: String, folder: String, input: Int32? = nil, ownSession: Bool = false
    ) throws(PrivatePostgres.Failure) {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input, 0)
        } else {
            posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        }
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        posix_spawn_file_actions_addchdir_np(&actions, folder)
        posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setsigmask(&attributes, &noSignals)
        let flags = Int16(POSIX_SPAWN_SETSIGMASK) | (ownSession ? Int16(POSIX_SPAWN_SETSID) : 0)
        posix_spawnattr_setflags(&attributes, flags)
        let arguments = command.map { strdup($0) }
        defer { for argument in arguments { free(argument) } }
        let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"].map { strdup($0) }
        defer { for variable in environment { free(variable) } }
        var child = pid_t()
        let code = posix_spawn(&child, command[0], &actions, &attributes, arguments + [nil], environment + [nil])
        guard code == 0 else { throw PrivatePostgres.Failure(description: "\(command[0]): errno \(code)") }
        processID = child
    }

    /// Waits for the end. Answers the exit code, or 128 and the signal.
    func wait() -> Int32 {
        var status: Int32 = 0
        while waitpid(processID, &status, 0) < 0 {
            guard errno == EINTR else { return -1 }
        }
        let signal = status & 0x7F
        return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
    }
}

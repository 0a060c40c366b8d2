import Glibc

/// A child process with nothing of ours open: input from /dev/null or a pipe, output to a file.
struct ChildProcess: Sendable {
    let processID: pid_t

    /// Starts `command` in `folder`: words that assign variables of its environment may stand before it. `input` becomes its
    /// standard input.
    init(
        _ command: [String], output: String, folder: String, input: Int32? = nil
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
        for descriptor in Self.inheritable() { posix_spawn_file_actions_addclose(&actions, descriptor) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var noSignals = sigset_t()
        sigemptyset(&noSignals)
        posix_spawnattr_setsigmask(&attributes, &noSignals)
        let flags = Int16(POSIX_SPAWN_SETSIGMASK)
        posix_spawnattr_setflags(&attributes, flags)
        let arguments = (["/usr/bin/env", "-C", folder] + command).map { $0.withCString { strdup($0) } }
        defer { for argument in arguments { free(argument) } }
        let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8", "TZ=UTC"].map {
            $0.withCString { strdup($0) }
        }
        defer { for variable in environment { free(variable) } }
        var child = pid_t()
        let code = posix_spawn(&child, "/usr/bin/env", &actions, &attributes, arguments + [nil], environment + [nil])
        guard code == 0 else { throw PrivatePostgres.Failure(description: "\(command[0]): errno \(code)") }
        processID = child
    }

    /// The descriptors a child would get: a server that kept the test runner's pipes open would keep the runner waiting.
    private static func inheritable() -> [Int32] {
        guard let stream = opendir("/proc/self/fd") else { return [] }
        defer { closedir(stream) }
        var found: [Int32] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            if let descriptor = Int32(name), descriptor > 2 { found.append(descriptor) }
        }
        return found
    }

    /// Waits for the end, on a thread that may block. Answers the exit code, or 128 and the signal; `nil` when it has not
    /// ended within `limit`.
    func wait(atMost limit: Duration) -> Int32? {
        let end = ContinuousClock.now + limit
        var status: Int32 = 0
        while true {
            let ended = waitpid(processID, &status, WNOHANG)
            if ended == processID { break }
            guard ended == 0 || errno == EINTR else { return -1 }
            guard ContinuousClock.now < end else { return nil }
            usleep(10_000)
        }
        let signal = status & 0x7F
        return signal == 0 ? (status >> 8) & 0xFF : 128 + signal
    }
}

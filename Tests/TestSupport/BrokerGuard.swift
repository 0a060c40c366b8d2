import Glibc
import Synchronization

/// A shell that starts a broker when told to, and ends it and removes its folder when this process ends, however it
/// ends: the shell reads a pipe whose other end only this process has.
///
/// The port mapper that Erlang needs runs in the foreground as the shell's child, because the one that a broker starts
/// by itself outlives it.
final class BrokerGuard: Sendable {
    private static let running = Mutex<[BrokerGuard]>([])

    private static let script = """
        cd "$1" || exit 1
        epmd -port "$2" -address 127.0.0.1 >epmd.log 2>&1 </dev/null &
        epmd=$!
        server=
        while read -r word; do
            setsid /usr/lib/rabbitmq/bin/rabbitmq-server >>server.log 2>&1 </dev/null &
            server=$!
        done
        if [ -n "$server" ]; then
            pkill -KILL -P "$server"
            sleep 0.2
            kill -KILL "-$server" 2>/dev/null
        fi
        kill -KILL "$epmd"
        wait
        cd /
        rm -rf -- "$1"
        """

    private let pipe: Int32
    private let child: ChildProcess

    /// - Parameter environment: `NAME=value`, for the broker and the port mapper.
    init(folder: String, epmdPort: Int, environment: [String]) throws {
        var ends: [Int32] = [0, 0]
        guard Glibc.pipe(&ends) == 0 else { throw PrivateRabbitMQ.Failure("pipe: errno \(errno)") }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        defer { close(ends[0]) }
        do {
            // A session of its own, so that the terminal's interrupt does not reach it.
            child = try ChildProcess(
                environment + [
                    "/usr/bin/setsid", "/bin/sh", "-c", Self.script, "broker-guard", folder, String(epmdPort),
                ],
                output: "\(folder)/guard.log", folder: "/", input: ends[0])
        } catch {
            close(ends[1])
            throw error
        }
        pipe = ends[1]
        let isFirst = Self.running.withLock { running in
            running.append(self)
            return running.count == 1
        }
        if isFirst { atexit { BrokerGuard.finishAll() } }
    }

    /// Starts the broker. The one before must have ended.
    func startBroker() {
        _ = write(pipe, "start\n", 6)
    }

    /// Lets the guards do their work and waits for them; one that takes too long goes on alone.
    private static func finishAll() {
        for each in running.withLock({ $0 }) {
            close(each.pipe)
            _ = each.child.wait(atMost: .seconds(300))
        }
    }
}

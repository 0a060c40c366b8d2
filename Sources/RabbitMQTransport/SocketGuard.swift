import CRabbitMQ
import Glibc
import Synchronization

/// Lets another thread cut a socket off while its owner may be stuck in a library call on it.
///
/// The owner detaches before it closes the descriptor, so a number that the kernel has given to someone else is never
/// cut off.
final class SocketGuard: Sendable {
    private let descriptor = Mutex<Int32>(-1)

    func attach(_ socket: Int32) { descriptor.withLock { $0 = socket } }

    func detach() { descriptor.withLock { $0 = -1 } }

    /// How long nothing has arrived from the other side, as the kernel saw it; `nil` when there is no socket.
    var silence: Duration? {
        descriptor.withLock { socket in
            guard socket >= 0 else { return nil }
            let milliseconds = cw_milliseconds_since_data(socket)
            return milliseconds >= 0 ? .milliseconds(milliseconds) : nil
        }
    }

    /// Makes every read and write on the socket, also one that waits right now, end with an error.
    func cutOff() {
        descriptor.withLock { socket in
            if socket >= 0 { _ = shutdown(socket, Int32(SHUT_RDWR)) }
        }
    }
}

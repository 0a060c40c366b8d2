import CRabbitMQ
import Glibc
import MessageBus

/// Wakes a thread that sleeps in poll(2): an eventfd.
final class WakeSignal: Sendable {
    let descriptor: Int32

    init() throws(BusError) {
        descriptor = eventfd(0, Int32(EFD_NONBLOCK) | Int32(EFD_CLOEXEC))
        guard descriptor >= 0 else { throw .disconnected("can't make an eventfd: error \(errno)") }
    }

    deinit { Glibc.close(descriptor) }

    func wake() {
        var one: UInt64 = 1
        // Fails only when the counter is full, and then the thread is awake.
        _ = write(descriptor, &one, MemoryLayout<UInt64>.size)
    }

    func clear() {
        var count: UInt64 = 0
        _ = read(descriptor, &count, MemoryLayout<UInt64>.size)
    }

    /// Sleeps until woken, until `other` (a socket, or -1 for none) can be read, or until `limit`, whichever is first.
    /// Returns whether `other` can be read.
    func sleep(until limit: MonotonicTime, orReadable other: Int32 = -1) -> Bool {
        let nanoseconds = limit.nanoseconds - min(limit.nanoseconds, MonotonicTime.now.nanoseconds)
        // Rounded up: a thread that wakes just before its time would spin.
        let milliseconds = Int32(clamping: (nanoseconds + 999_999) / 1_000_000)
        var watched = (
            pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0),
            pollfd(fd: other, events: Int16(POLLIN), revents: 0)
        )
        _ = withUnsafeMutableBytes(of: &watched) { bytes in
            poll(bytes.bindMemory(to: pollfd.self).baseAddress, 2, milliseconds)
        }
        if watched.0.revents != 0 { clear() }
        return watched.1.revents != 0
    }
}

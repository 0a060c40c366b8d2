import Glibc

/// Threads of our own for calls that block. libvirt's client may wait for seconds inside a call, so its calls never run on
/// the cooperative pool.
enum NativeThread {
    /// Enough for libvirt's client and its XML parser; only the pages that are touched cost memory.
    static let stackByteCount = 512 * 1024

    private final class Box: Sendable {
        let name: String
        let body: @Sendable () -> Void
        init(_ name: String, _ body: @escaping @Sendable () -> Void) {
            self.name = name
            self.body = body
        }
    }

    /// Starts a detached thread.
    ///
    /// - Parameter name: as tools show it, at most 15 characters.
    /// - Precondition: the system can start a thread; a process that cannot is beyond help.
    static func start(_ name: String, _ body: @escaping @Sendable () -> Void) {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setstacksize(&attributes, stackByteCount)
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                let box = Unmanaged<Box>.fromOpaque(argument).takeRetainedValue()
                NativeThread.rename(box.name)
                box.body()
                return nil
            }, Unmanaged.passRetained(Box(name, body)).toOpaque())
        precondition(status == 0, "a thread could not be started: error \(status)")
    }

    /// Names the current thread, for people who look at the process. Nothing depends on it.
    private static func rename(_ name: String) {
        let descriptor = open("/proc/thread-self/comm", O_WRONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return }
        _ = write(descriptor, name, min(name.utf8.count, 15))
        close(descriptor)
    }
}

import CLibvirt

/// Bounds calls that block: when one takes too long, something is done from libvirt's event loop that makes it return.
/// libvirt's timers may be set from any thread.
final class Watchdog: Sendable {
    private final class Box: Sendable {
        let onExpiry: @Sendable () -> Void
        init(_ onExpiry: @escaping @Sendable () -> Void) { self.onExpiry = onExpiry }
    }

    private let timer: Int32
    private let milliseconds: Int32

    /// - Parameters:
    ///   - milliseconds: how long a call may take.
    ///   - onExpiry: called on libvirt's event thread, where no call of libvirt's may be made; again and again after as
    ///     many milliseconds while the call goes on.
    /// - Returns: `nil` when libvirt has no timer.
    init?(milliseconds: Int32, onExpiry: @escaping @Sendable () -> Void) {
        self.milliseconds = milliseconds
        let context = Unmanaged.passRetained(Box(onExpiry))
        let isOff: Int32 = -1
        timer = virEventAddTimeout(
            isOff,
            { _, context in
                guard let context else { return }
                Unmanaged<Box>.fromOpaque(context).takeUnretainedValue().onExpiry()
            }, context.toOpaque(),
            { context in
                guard let context else { return }
                Unmanaged<Box>.fromOpaque(context).release()
            })
        guard timer >= 0 else {
            context.release()
            return nil
        }
    }

    deinit { if timer >= 0 { virEventRemoveTimeout(timer) } }

    /// Runs a body that must not take long.
    func guarding<Value, Failure: Error>(_ body: () throws(Failure) -> Value) throws(Failure) -> Value {
        virEventUpdateTimeout(timer, milliseconds)
        defer { virEventUpdateTimeout(timer, -1) }
        return try body()
    }

    /// Gives the body that is being guarded its whole time again.
    func prolong() { virEventUpdateTimeout(timer, milliseconds) }
}

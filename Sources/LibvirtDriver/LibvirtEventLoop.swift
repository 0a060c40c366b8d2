import CLibvirt
import Glibc

/// libvirt's event loop: one a process, because libvirt has room for one. It carries keep-alives and events of every
/// connection, and is idle in poll(2) otherwise.
enum LibvirtEventLoop {
    /// Starts the loop at the first call; must be called before a connection is opened.
    ///
    /// - Returns: whether libvirt could be made ready.
    static func start() -> Bool { isRunning }

    private static let isRunning: Bool = {
        // libvirt's client writes to its socket with SIGPIPE as it is: a daemon that has just gone would end the process.
        signal(SIGPIPE, SIG_IGN)
        guard virInitialize() == 0 else { return false }
        // Without this libvirt prints every error on standard error.
        virSetErrorFunc(nil) { _, _ in }
        guard virEventRegisterDefaultImpl() == 0 else { return false }
        NativeThread.start("libvirt-events") {
            let pause: UInt32 = 100_000  // microseconds, so that a failing loop does not spin
            while true {
                if virEventRunDefaultImpl() < 0 { usleep(pause) }
            }
        }
        return true
    }()
}

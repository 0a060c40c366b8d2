import CLibvirt
import CloudModel
import HypervisorDriver
import Primitives

/// One open connection to libvirt. It is closed when the last user lets go of it.
///
/// SAFETY: libvirt's connections may be used by several threads at once; the pointer never changes.
final class LibvirtLink: @unchecked Sendable {
    /// Where a link's news go. libvirt calls both from its event loop, where no call of libvirt's may be made.
    final class Listener: Sendable {
        /// A guest's power now, or `nil` when it is no longer defined.
        let onLifecycle: @Sendable (ServerID, PowerState?) -> Void
        let onLost: @Sendable (String) -> Void

        init(
            onLifecycle: @escaping @Sendable (ServerID, PowerState?) -> Void,
            onLost: @escaping @Sendable (String) -> Void
        ) {
            self.onLifecycle = onLifecycle
            self.onLost = onLost
        }
    }

    /// How a silent daemon is noticed: after `interval * (count + 1)` seconds.
    struct KeepAlive: Sendable, Equatable {
        var interval: Int32 = 5
        var count: UInt32 = 3
    }

    let pointer: OpaquePointer
    private let lifecycleID: Int32
    private let hasCloseCallback: Bool

    /// Opens a connection and listens on it. Blocks.
    static func open(
        _ uri: String, keepAlive: KeepAlive, listener: Listener
    ) throws(HypervisorError) -> LibvirtLink {
        guard LibvirtEventLoop.start() else { throw .disconnected("libvirt's client cannot be used in this process") }
        guard let pointer = virConnectOpen(uri) else { throw .disconnected(LibvirtFailure.last().message) }
        return try LibvirtLink(pointer, keepAlive: keepAlive, listener: listener)
    }

    private init(_ pointer: OpaquePointer, keepAlive: KeepAlive, listener: Listener) throws(HypervisorError) {
        self.pointer = pointer
        // In-process drivers know neither of the two, and need neither.
        _ = virConnectSetKeepAlive(pointer, keepAlive.interval, keepAlive.count)
        let closeContext = Unmanaged.passRetained(listener)
        hasCloseCallback =
            virConnectRegisterCloseCallback(pointer, Self.closed, closeContext.toOpaque(), Self.release) == 0
        if !hasCloseCallback { closeContext.release() }

        let context = Unmanaged.passRetained(listener)
        let callback = unsafeBitCast(Self.lifecycle, to: virConnectDomainEventGenericCallback.self)
        lifecycleID = virConnectDomainEventRegisterAny(
            pointer, nil, Int32(VIR_DOMAIN_EVENT_ID_LIFECYCLE.rawValue), callback, context.toOpaque(), Self.release)
        guard lifecycleID >= 0 else {
            context.release()
            throw .disconnected("no events: \(LibvirtFailure.last().message)")
        }
    }

    deinit { virConnectClose(pointer) }

    var isAlive: Bool { virConnectIsAlive(pointer) == 1 }

    /// Stops listening. Called once, by whoever opened the link and before letting go of it.
    func retire() {
        virConnectDomainEventDeregisterAny(pointer, lifecycleID)
        if hasCloseCallback { virConnectUnregisterCloseCallback(pointer, Self.closed) }
    }

    private static let release: virFreeCallback = { context in
        guard let context else { return }
        Unmanaged<Listener>.fromOpaque(context).release()
    }

    private static let closed: virConnectCloseFunc = { _, reason, context in
        guard let context else { return }
        let words: String
        switch UInt32(bitPattern: reason) {
        case VIR_CONNECT_CLOSE_REASON_EOF.rawValue: words = "libvirtd closed the connection"
        case VIR_CONNECT_CLOSE_REASON_KEEPALIVE.rawValue: words = "libvirtd does not answer"
        case VIR_CONNECT_CLOSE_REASON_CLIENT.rawValue: words = "closed by us"
        case VIR_CONNECT_CLOSE_REASON_ERROR.rawValue: words = "the connection failed"
        default: words = "closed for a reason \(reason)"
        }
        Unmanaged<Listener>.fromOpaque(context).takeUnretainedValue().onLost(words)
    }

    private static let lifecycle: virConnectDomainEventCallback = { _, domain, event, detail, context in
        guard let context, let domain, let name = virDomainGetName(domain),
            let id = DomainDocument.id(fromName: String(cString: name))
        else { return 0 }
        let power = PowerState(lifecycleEvent: event, detail: detail)
        let isUndefined = UInt32(bitPattern: event) == VIR_DOMAIN_EVENT_UNDEFINED.rawValue
        guard power != nil || isUndefined else { return 0 }
        Unmanaged<Listener>.fromOpaque(context).takeUnretainedValue().onLifecycle(id, power)
        return 0
    }
}

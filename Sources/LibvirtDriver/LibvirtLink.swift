import CLibvirt
import CloudModel
import HypervisorDriver
import Primitives

/// One open connection to libvirt, for one call at a time. Whoever opens one closes it.
///
/// SAFETY: the pointer never changes, and whoever holds a link uses it on one thread at a time.
final class LibvirtLink: @unchecked Sendable {
    /// Where a link's news go. libvirt calls both from its event loop or from inside a call, where no call of libvirt's
    /// may be made.
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

    let pointer: OpaquePointer
    /// By which calls can be ended from outside; drivers inside this process have none.
    let socket: LibvirtSocket?
    private var lifecycleID: Int32 = -1
    private var hasCloseCallback = false

    /// Opens a connection. Blocks, until the daemon answers or somebody cuts the socket.
    ///
    /// - Parameters:
    ///   - opener: who may cut the socket until the link is there.
    ///   - isWanted: asked when it is this one's turn to open, which may be a while after the call.
    init(
        _ address: LibvirtAddress, opener: ObjectIdentifier, isWanted: () -> Bool
    ) throws(HypervisorError) {
        guard LibvirtEventLoop.start() else { throw .disconnected("libvirt's client cannot be used in this process") }
        (pointer, socket) = try LibvirtSocket.claim(address, opener: opener) { () throws(HypervisorError) in
            guard isWanted() else { throw .disconnected("the connection was lost meanwhile") }
            guard let pointer = virConnectOpen(address.uri) else { throw .disconnected(LibvirtFailure.last().message) }
            return pointer
        }
        guard socket != nil || address.socketNames.isEmpty else {
            virConnectClose(pointer)
            throw .disconnected("\(address.uri) has no local socket, so a frozen daemon could not be given up")
        }
    }

    /// Begins to listen. Called once at most.
    func listen(_ listener: Listener) throws(HypervisorError) {
        let closeContext = Unmanaged.passRetained(listener)
        // In-process drivers know no close callback, and need none.
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

    /// Whether the daemon answers. Blocks as ``init(_:)`` does.
    func ping() throws(HypervisorError) {
        var version: UInt = 0
        guard virConnectGetLibVersion(pointer, &version) == 0 else {
            throw .disconnected(LibvirtFailure.last().message)
        }
    }

    /// Whether the connection has not been lost; asks nobody.
    var isAlive: Bool { virConnectIsAlive(pointer) == 1 }

    /// Stops listening and closes. Called once, as the last thing.
    func close() {
        if lifecycleID >= 0 { virConnectDomainEventDeregisterAny(pointer, lifecycleID) }
        if hasCloseCallback { virConnectUnregisterCloseCallback(pointer, Self.closed) }
        virConnectClose(pointer)
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

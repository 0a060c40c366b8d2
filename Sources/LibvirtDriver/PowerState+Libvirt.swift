import CLibvirt
import CloudModel

extension PowerState {
    /// - Parameters:
    ///   - state: one of libvirt's `virDomainState`.
    ///   - reason: why it is in that state, by libvirt's enumeration of the state's reasons.
    init(domainState state: Int32, reason: Int32) {
        let isStarting = UInt32(bitPattern: reason) == VIR_DOMAIN_PAUSED_STARTING_UP.rawValue
        self =
            switch UInt32(bitPattern: state) {
            // A guest that is on its way down still runs.
            case VIR_DOMAIN_RUNNING.rawValue, VIR_DOMAIN_BLOCKED.rawValue, VIR_DOMAIN_SHUTDOWN.rawValue: .running
            // QEMU is made paused and resumed when all is set; nobody has paused such a guest, and it may yet fail.
            case VIR_DOMAIN_PAUSED.rawValue: isStarting ? .shutdown : .paused
            case VIR_DOMAIN_SHUTOFF.rawValue: .shutdown
            case VIR_DOMAIN_CRASHED.rawValue: .crashed
            case VIR_DOMAIN_PMSUSPENDED.rawValue: .suspended
            default: .noState
            }
    }

    /// What a lifecycle event leads to; `nil` for events after which the power is as it was.
    init?(lifecycleEvent event: Int32, detail: Int32) {
        switch UInt32(bitPattern: event) {
        case VIR_DOMAIN_EVENT_STARTED.rawValue, VIR_DOMAIN_EVENT_RESUMED.rawValue: self = .running
        case VIR_DOMAIN_EVENT_SUSPENDED.rawValue: self = .paused
        case VIR_DOMAIN_EVENT_STOPPED.rawValue:
            self = UInt32(bitPattern: detail) == VIR_DOMAIN_EVENT_STOPPED_CRASHED.rawValue ? .crashed : .shutdown
        case VIR_DOMAIN_EVENT_PMSUSPENDED.rawValue: self = .suspended
        case VIR_DOMAIN_EVENT_CRASHED.rawValue: self = .crashed
        default: return nil
        }
    }
}

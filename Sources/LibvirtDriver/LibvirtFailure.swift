import CLibvirt
import CloudModel
import HypervisorDriver
import Primitives

/// libvirt's last error on this thread. It must be read on the thread of the call that failed, before any other call.
struct LibvirtFailure: Sendable, Equatable {
    let code: Int
    let message: String

    static func last() -> LibvirtFailure {
        guard let error = virGetLastError() else { return LibvirtFailure(code: 0, message: "no detail") }
        let message = error.pointee.message.map { String(cString: $0) } ?? "no detail"
        return LibvirtFailure(code: Int(error.pointee.code), message: message)
    }

    var isMissingDomain: Bool { code == Int(VIR_ERR_NO_DOMAIN.rawValue) }

    /// What it means to a caller whose connection is still alive.
    func error(about id: ServerID?) -> HypervisorError {
        if isMissingDomain, let id { return .notFound(id) }
        let refusals = [VIR_ERR_XML_ERROR, VIR_ERR_XML_DETAIL, VIR_ERR_CONFIG_UNSUPPORTED, VIR_ERR_INVALID_ARG]
        if refusals.contains(where: { Int($0.rawValue) == code }) { return .invalid(message) }
        return .failed(code: code, message)
    }
}

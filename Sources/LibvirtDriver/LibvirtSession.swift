import CLibvirt
import CloudModel
import Glibc
import HypervisorDriver
import Primitives

/// Calls on an open connection. Every one blocks and belongs to the thread that it was made on, because libvirt keeps
/// errors by thread.
struct LibvirtSession {
    private let link: LibvirtLink

    init(_ link: LibvirtLink) { self.link = link }

    /// `QEMU`, `TEST`.
    var driverName: String { virConnectGetType(link.pointer).map { String(cString: $0) } ?? "" }

    // MARK: The host

    func hostCapabilities(_ choice: VirtTypeChoice) throws(HypervisorError) -> HypervisorCapabilities {
        var node = virNodeInfo()
        guard virNodeGetInfo(link.pointer, &node) == 0 else { throw LibvirtFailure.last().error(about: nil) }
        var version: UInt = 0
        guard virConnectGetVersion(link.pointer, &version) == 0 else { throw LibvirtFailure.last().error(about: nil) }
        let host = try document { virConnectGetCapabilities(link.pointer) }.all("host", "cpu").first
        return HypervisorCapabilities(
            virtType: choice.name, virtTypeReason: choice.reason, vcpus: Int(node.cpus),
            memoryMiB: Int(node.memory / 1024), version: Int(version),
            hostname: try text { virConnectGetHostname(link.pointer) },
            architecture: host?.all("arch").first?.text ?? architecture(of: node),
            cpuModel: host?.all("model").first?.text ?? "unknown")
    }

    func architecture() throws(HypervisorError) -> String {
        var node = virNodeInfo()
        guard virNodeGetInfo(link.pointer, &node) == 0 else { throw LibvirtFailure.last().error(about: nil) }
        return architecture(of: node)
    }

    /// Whether domains of a type can be made for our machine.
    func offers(domainType: String, architecture: String) -> Bool {
        guard let text = virConnectGetDomainCapabilities(link.pointer, nil, architecture, "pc", domainType, 0) else {
            return false
        }
        free(text)
        return true
    }

    private func architecture(of node: virNodeInfo) -> String {
        withUnsafeBytes(of: node.model) { bytes in
            String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
        }
    }

    // MARK: Guests

    /// Makes a domain known. One of the same id that is not ours is left alone.
    func define(_ id: ServerID, _ document: String) throws(HypervisorError) {
        if let domain = virDomainLookupByUUIDString(link.pointer, id.description) {
            defer { virDomainFree(domain) }
            guard isOurs(domain, id) else { throw .invalid("a domain with the id \(id) is here and is not ours") }
        } else {
            let failure = LibvirtFailure.last()
            guard failure.isMissingDomain else { throw failure.error(about: id) }
        }
        guard let domain = virDomainDefineXML(link.pointer, document) else {
            throw LibvirtFailure.last().error(about: nil)
        }
        virDomainFree(domain)
    }

    /// Runs a body with a domain of ours.
    func withDomain<Value>(
        _ id: ServerID, _ body: (OpaquePointer) throws(HypervisorError) -> Value
    ) throws(HypervisorError) -> Value {
        guard let domain = virDomainLookupByUUIDString(link.pointer, id.description) else {
            throw LibvirtFailure.last().error(about: id)
        }
        defer { virDomainFree(domain) }
        guard isOurs(domain, id) else { throw .notFound(id) }
        return try body(domain)
    }

    /// - Parameter onProgress: called before each guest is asked about.
    func guests(onProgress: () -> Void = {}) throws(HypervisorError) -> [ServerID: PowerState] {
        var list: UnsafeMutablePointer<virDomainPtr?>?
        let count = virConnectListAllDomains(link.pointer, &list, 0)
        guard count >= 0, let list else { throw LibvirtFailure.last().error(about: nil) }
        let domains = (0..<Int(count)).compactMap { list[$0] }
        defer {
            for domain in domains { virDomainFree(domain) }
            free(list)
        }
        var guests: [ServerID: PowerState] = [:]
        for domain in domains {
            onProgress()
            guard let name = virDomainGetName(domain), let id = DomainDocument.id(fromName: String(cString: name)),
                isOurs(domain, id)
            else { continue }
            do throws(HypervisorError) {
                guests[id] = try state(of: domain, id)
            } catch .notFound {
                continue  // gone since it was listed
            }
        }
        return guests
    }

    func state(of domain: OpaquePointer, _ id: ServerID) throws(HypervisorError) -> PowerState {
        var state: Int32 = 0
        var reason: Int32 = 0
        guard virDomainGetState(domain, &state, &reason, 0) == 0 else { throw LibvirtFailure.last().error(about: id) }
        return PowerState(domainState: state, reason: reason)
    }

    func isActive(_ domain: OpaquePointer, _ id: ServerID) throws(HypervisorError) -> Bool {
        let answer = virDomainIsActive(domain)
        guard answer >= 0 else { throw LibvirtFailure.last().error(about: id) }
        return answer == 1
    }

    func statistics(of domain: OpaquePointer, _ id: ServerID) throws(HypervisorError) -> GuestStatistics {
        var info = virDomainInfo()
        guard virDomainGetInfo(domain, &info) == 0 else { throw LibvirtFailure.last().error(about: id) }
        return GuestStatistics(
            cpuNanoseconds: info.cpuTime, memoryMiB: Int(info.maxMem / 1024), vcpus: Int(info.nrVirtCpu))
    }

    func facts(of domain: OpaquePointer) throws(HypervisorError) -> DomainFacts {
        let text = try text { virDomainGetXMLDesc(domain, 0) }
        do throws(XMLParser.Failure) {
            return try DomainFacts(text)
        } catch {
            throw .failed(code: 0, "the domain's description cannot be read")
        }
    }

    /// Does what leaves a domain active or inactive, and takes a failure for success when it is that already.
    func change(
        _ domain: OpaquePointer, _ id: ServerID, toActive: Bool, _ call: (OpaquePointer) -> Int32
    ) throws(HypervisorError) {
        guard try isActive(domain, id) != toActive, call(domain) != 0 else { return }
        let failure = LibvirtFailure.last()
        guard try isActive(domain, id) != toActive else { return }
        throw failure.error(about: id)
    }

    /// Whether a domain carries all our marks.
    private func isOurs(_ domain: OpaquePointer, _ id: ServerID) -> Bool {
        guard let name = virDomainGetName(domain), String(cString: name) == DomainDocument.name(of: id) else {
            return false
        }
        let element = Int32(VIR_DOMAIN_METADATA_ELEMENT.rawValue)
        guard let text = virDomainGetMetadata(domain, element, DomainDocument.metadataNamespace, 0) else {
            return false
        }
        defer { free(text) }
        return DomainDocument.id(fromMetadata: String(cString: text)) == id
    }

    // MARK: Texts

    private func text(_ call: () -> UnsafeMutablePointer<CChar>?) throws(HypervisorError) -> String {
        guard let text = call() else { throw LibvirtFailure.last().error(about: nil) }
        defer { free(text) }
        return String(cString: text)
    }

    private func document(
        _ call: () -> UnsafeMutablePointer<CChar>?
    ) throws(HypervisorError) -> XMLElement {
        let text = try text(call)
        do throws(XMLParser.Failure) {
            return try XMLParser.parse(text)
        } catch {
            throw .failed(code: 0, "libvirt's answer cannot be read")
        }
    }
}

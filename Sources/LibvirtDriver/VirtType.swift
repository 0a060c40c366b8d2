/// Which kind of virtualisation the operator wants on a host.
package enum VirtTypeSetting: String, Sendable, Hashable, CaseIterable, Codable {
    /// KVM where the processor really offers it, else emulation.
    case auto
    case kvm
    case qemu
}

/// What was chosen, and why: the reason is for the log and for `cellwright status`.
struct VirtTypeChoice: Sendable, Equatable {
    /// The `type` of libvirt's domains.
    let name: String
    let reason: String
}

/// What decides whether KVM would work. A device node and the hypervisor's own word prove nothing: a host may have both
/// and be unable to run an ordinary kernel (paravirtual KVM does that).
struct VirtualisationFacts: Sendable, Equatable {
    /// `vmx` (Intel) or `svm` (AMD), if the processor has either.
    var processorExtension: String?
    /// Whether the kernel's module for that extension is there (`kvm_intel`, `kvm_amd`).
    var hasHardwareModule: Bool
    /// Whether KVM here is paravirtual (`kvm_pvm`).
    var isParavirtual: Bool
    /// Whether libvirt offers domains of the type `kvm` for our machine.
    var isOffered: Bool

    func choose(_ setting: VirtTypeSetting) -> VirtTypeChoice {
        switch setting {
        case .kvm: return VirtTypeChoice(name: "kvm", reason: "set by the operator")
        case .qemu: return VirtTypeChoice(name: "qemu", reason: "set by the operator")
        case .auto: break
        }
        if let obstacle { return VirtTypeChoice(name: "qemu", reason: "emulation, because \(obstacle)") }
        return VirtTypeChoice(
            name: "kvm", reason: "the processor has \(processorExtension ?? "") and libvirt offers kvm")
    }

    /// Why KVM will not do, if so.
    private var obstacle: String? {
        guard let processorExtension else { return "the processor offers neither vmx nor svm" }
        if isParavirtual { return "KVM here is paravirtual (kvm_pvm) and runs no ordinary kernel" }
        if !hasHardwareModule { return "the processor has \(processorExtension) but its kernel module is not loaded" }
        if !isOffered { return "libvirt offers no kvm for this machine" }
        return nil
    }
}

extension VirtualisationFacts {
    /// - Parameters:
    ///   - cpuinfo: the text of `/proc/cpuinfo`.
    ///   - modules: which of the names of kernel modules that are asked about exist.
    init(cpuinfo: String, isOffered: Bool, modules: (String) -> Bool) {
        let line = cpuinfo.split(separator: "\n").first { $0.hasPrefix("flags") }
        let flags = Set((line ?? "").split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == ":" }))
        processorExtension = ["vmx", "svm"].first { flags.contains($0[...]) }
        hasHardwareModule =
            switch processorExtension {
            case "vmx": modules("kvm_intel")
            case "svm": modules("kvm_amd")
            default: false
            }
        isParavirtual = modules("kvm_pvm")
        self.isOffered = isOffered
    }
}

import FoundationEssentials
import Glibc

/// What this machine must have before hosts can be made on it.
struct LabPrerequisites: Sendable {
    /// Program and the Debian package that has it.
    static let programs = [
        ("systemd-nspawn", "systemd-container"), ("mmdebstrap", "mmdebstrap"), ("ip", "iproute2"),
        ("ssh", "openssh-client"), ("ssh-keygen", "openssh-client"), ("unshare", "util-linux"),
        ("setsid", "util-linux"), ("mount", "mount"), ("bash", "bash"),
    ]

    /// What is missing, a sentence each; empty when all is there.
    static func problems(path: String, isRoot: Bool = geteuid() == 0) -> [String] {
        var problems: [String] = []
        if !isRoot { problems.append("it makes containers, mounts and links, so it must run as root (use sudo)") }
        let folders = path.split(separator: ":").map(String.init) + ["/usr/sbin", "/sbin"]
        let missing = programs.filter { program in
            !folders.contains { access("\($0)/\(program.0)", X_OK) == 0 }
        }
        if !missing.isEmpty {
            let packages = Set(missing.map(\.1)).sorted().joined(separator: " ")
            let names = missing.map(\.0).joined(separator: ", ")
            problems.append("missing programs: \(names); install them with `apt-get install \(packages)`")
        }
        if !kernelHasOverlay() {
            problems.append("the kernel has no overlay file system (`modprobe overlay`)")
        }
        if access("/dev/net/tun", F_OK) != 0 {
            problems.append("/dev/net/tun is missing (`modprobe tun`); guests could have no network")
        }
        return problems
    }

    private static func kernelHasOverlay() -> Bool {
        do {
            return try FileSystem.text("/proc/filesystems").lines.contains { $0.hasSuffix("\toverlay") }
        } catch {
            return false
        }
    }

    /// A device node proves nothing: KVM counts only where the processor says that it offers virtualisation.
    static func hasKVM() -> Bool {
        guard access("/dev/kvm", R_OK | W_OK) == 0 else { return false }
        do {
            let flags = try FileSystem.text("/proc/cpuinfo").lines.first { $0.hasPrefix("flags") } ?? ""
            return flags.split(separator: " ").contains { $0 == "vmx" || $0 == "svm" }
        } catch {
            return false
        }
    }

    /// Whether systemd runs this machine, so that containers get a scope of their own from it.
    static func isSystemdBooted() -> Bool { access("/run/systemd/system", F_OK) == 0 }
}

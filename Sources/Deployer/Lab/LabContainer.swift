import FoundationEssentials
import Glibc
import SystemPackage

/// The process side of one lab host: a systemd-nspawn container that outlives the tool.
///
/// Its disk is mounted in a mount namespace of its own, so the mount goes when the container does, however it ends.
struct LabContainer: Sendable {
    static let stopLimit = Duration.seconds(40)
    static let killLimit = Duration.seconds(10)
    static let sweepLimit = Duration.seconds(5)
    /// Environment variable: folders of this machine, separated by colons, that every host sees read-only at the same path.
    /// For executables in development that need the Swift runtime beside them.
    static let bindVariable = "CELLWRIGHT_LAB_BIND"
    /// A folder for control groups where systemd does not run this machine; below it one for each container.
    static let controlGroup = "cellwright-lab"

    /// Starts in a session of its own, takes a control group of its own, mounts the disk, becomes systemd-nspawn.
    /// Arguments: folder, base tree, control group, then nspawn's.
    static let launcher = """
        cd "$1" || exit 1
        exec > console.log 2>&1 < /dev/null
        base=$2 group=$3
        shift 3
        if [ -n "$group" ]; then
          for tree in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
            if [ -w "$tree/cgroup.procs" ]; then mkdir -p "$tree/$group" && echo $$ > "$tree/$group/cgroup.procs"; fi
          done
        fi
        mount -t overlay overlay -o "lowerdir=$base,upperdir=upper,workdir=work" root || {
          echo "an overlay could not be mounted here: the lab's folder must be on a file system that takes one (ext4, xfs)"
          exit 1; }
        echo $$ > pid
        exec systemd-nspawn -D root "$@"
        """

    let specification: LabSpecification
    let name: String

    /// What systemd-nspawn is called with.
    func arguments(bridge: String, hasKVM: Bool, systemdBooted: Bool, binds: [String] = []) -> [String] {
        var arguments = [
            "--boot", "--register=no", "--machine=\(specification.machine(name))", "--hostname=\(name)",
            "--network-bridge=\(bridge)", "--private-users=no", "--capability=all", "--bind=/dev/net/tun",
            "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
        ]
        if !systemdBooted { arguments.append("--keep-unit") }
        if hasKVM {
            arguments.append("--bind=/dev/kvm")
            if systemdBooted { arguments.append("--property=DeviceAllow=/dev/kvm rw") }
        }
        return arguments + binds.map { "--bind-ro=\($0)" }
    }

    /// Starts it. Returns once the process is there; it is up when ssh answers.
    func start(base: String, bridge: String) async throws {
        let paths = specification.paths
        let systemd = LabPrerequisites.isSystemdBooted()
        let binds = ProcessInfo.processInfo.environment[Self.bindVariable]?.split(separator: ":").map(String.init) ?? []
        try FileSystem.remove(paths.pid(name))
        let group = systemd ? "" : "\(Self.controlGroup)/\(specification.machine(name))"
        try await LocalCommand(
            "setsid",
            [
                "--fork", "unshare", "--mount", "--propagation", "private", "bash", "-c", Self.launcher,
                "cellwright-lab", paths.host(name), base, group,
            ]
                + arguments(
                    bridge: bridge, hasKVM: LabPrerequisites.hasKVM(), systemdBooted: systemd, binds: binds)
        ).check()
        let started = try await poll(every: .milliseconds(50), for: .seconds(20)) {
            if leader() != nil { return true }
            if hasEnded() { throw LabFailure(failure()) }
            return false
        }
        guard started else { throw LabFailure(failure()) }
    }

    /// systemd-nspawn's process id while it runs.
    func process() -> Int32? {
        do {
            guard FileSystem.exists(specification.paths.pid(name)) else { return nil }
            guard let pid = Int32(try FileSystem.text(specification.paths.pid(name)).trimmed), pid > 1 else {
                return nil
            }
            // A number alone could be another process by now.
            let arguments = try FileSystem.text("/proc/\(pid)/cmdline").split(separator: "\0")
            return arguments.contains("--machine=\(specification.machine(name))") ? pid : nil
        } catch {
            return nil
        }
    }

    /// Whether the process that was to become systemd-nspawn is gone. Its arguments say nothing here: there are none for a
    /// moment while one program takes the place of another.
    private func hasEnded() -> Bool {
        do {
            guard FileSystem.exists(specification.paths.pid(name)),
                let pid = Int32(try FileSystem.text(specification.paths.pid(name)).trimmed)
            else { return false }
            return !FileSystem.exists("/proc/\(pid)")
        } catch {
            return false
        }
    }

    /// The process that is the host's process 1.
    func leader() -> Int32? {
        guard let process = process() else { return nil }
        do {
            let children = try FileSystem.text("/proc/\(process)/task/\(process)/children")
            return children.split(separator: " ").first.flatMap { Int32($0) }
        } catch {
            return nil
        }
    }

    /// Powers the host off; kills it if it takes too long. Its disk stays. Returns whether it had to be killed.
    @discardableResult
    func stop() async throws -> Bool {
        guard let process = process() else { return false }
        let leader = leader()
        kill(process, SIGTERM)
        if try await poll(every: .milliseconds(100), for: Self.stopLimit, until: { self.process() == nil }) {
            return false
        }
        if let leader { kill(leader, SIGKILL) }
        kill(process, SIGKILL)
        guard try await poll(every: .milliseconds(100), for: Self.killLimit, until: { self.process() == nil }) else {
            throw LabFailure("host \(name): process \(process) does not end")
        }
        return true
    }

    /// Removes what systemd-nspawn and the kernel keep of a container that has ended. The kernel lets go of a control
    /// group a moment after its last process; one that is in use for longer stays.
    func sweep() async throws {
        let machine = specification.machine(name)
        rmdir("/run/systemd/nspawn/propagate/\(machine)")
        let groups = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified", "/sys/fs/cgroup/systemd"].map {
            "\($0)/\(Self.controlGroup)"
        }
        _ = try await poll(every: .milliseconds(50), for: Self.sweepLimit) {
            for group in groups { Self.removeControlGroups("\(group)/\(machine)") }
            return !groups.contains { FileSystem.exists("\($0)/\(machine)") }
        }
        // The last one takes the folder of all of them along.
        for group in groups { rmdir(group) }
    }

    private static func removeControlGroups(_ path: String) {
        guard FileSystem.exists(path) else { return }
        do {
            for entry in try FileManager.default.contentsOfDirectory(atPath: path) {
                var status = stat()
                let child = "\(path)/\(entry)"
                if lstat(child, &status) == 0, status.st_mode & S_IFMT == S_IFDIR { removeControlGroups(child) }
            }
        } catch {
            // It went while we looked.
        }
        rmdir(path)
    }

    /// What to say of a host that ended while it started.
    func failure() -> String {
        let log: String
        do {
            log = try FileSystem.text(specification.paths.log(name)).trimmed
        } catch {
            log = "it left no log"
        }
        return "host \(name) did not start: \(log.suffix(1_000))"
    }
}

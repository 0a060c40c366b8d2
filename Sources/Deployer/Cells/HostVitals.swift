import CloudModel
import Topology

/// How a host is besides what is ours on it: room, memory, clock, failed units, errors in logs.
struct HostVitals: Sendable, Equatable {
    /// A file system with less room than this (percent) is a warning, with less than a third of it an error.
    static let roomPercent = 10
    static let memoryPercent = 5
    /// Clocks that differ by more than this upset tokens, heartbeats and certificates (seconds).
    static let clockSeconds = 1.0
    /// systemd brings a process back; more often than this since its start is worth a look.
    static let restarts = 3

    struct FileSystem: Sendable, Equatable {
        var mount: String
        /// Of room and of inodes, the smaller.
        var freePercent: Int
    }

    var fileSystems: [FileSystem] = []
    var memoryTotalKiB = 0
    var memoryAvailableKiB = 0
    /// Its clock, seconds since 1970.
    var time: Double?
    var failedUnits: [String] = []
    /// Restarts by systemd, by unit of ours.
    var unitRestarts: [String: Int] = [:]
    /// Lines of level error or critical in our logs in the last hour, by unit.
    var logErrors: [String: Int] = [:]
    var isLibvirtActive: Bool?
    var isComplete = false

    static let script = """
        df -P -l -x tmpfs -x devtmpfs -x squashfs 2>/dev/null | awk 'NR > 1 && $2 > 0 {print "room\\t" $6 "\\t" 100 - $5}' || true
        df -P -i -l -x tmpfs -x devtmpfs -x squashfs 2>/dev/null |
          awk 'NR > 1 && $2 > 0 {print "room\\t" $6 "\\t" 100 - $5}' || true
        awk '$1 == "MemTotal:" || $1 == "MemAvailable:" {print "memory\\t" $1 "\\t" $2}' /proc/meminfo
        systemctl list-units --failed --plain --no-legend 2>/dev/null | awk '{print "failed\\t" $1}' || true
        for u in $(systemctl list-units --all --plain --no-legend 'cellwright-*.service' | awk '{print $1}'); do
          printf 'restarts\\t%s\\t%s\\n' "$u" "$(systemctl show -p NRestarts --value "$u")"
          printf 'errors\\t%s\\t%s\\n' "$u" "$(journalctl --quiet --unit "$u" --since '-1h' --lines 5000 --output cat |
            grep -c -E '"level":"(error|critical)"' || true)"
        done
        printf 'libvirt\\t%s\\n' "$(systemctl is-active libvirtd.service 2>/dev/null || true)"
        printf 'time\\t%s\\n' "$(date +%s.%N)"
        echo end
        """

    init() {}

    init(_ output: String) {
        for line in output.lines {
            read(line.split(separator: "\t", omittingEmptySubsequences: false).map(String.init))
        }
    }

    private mutating func read(_ fields: [String]) {
        switch (fields[0], fields.count) {
        case ("room", 3):
            guard let free = Int(fields[2]) else { return }
            if let index = fileSystems.firstIndex(where: { $0.mount == fields[1] }) {
                fileSystems[index].freePercent = min(fileSystems[index].freePercent, free)
            } else {
                fileSystems.append(FileSystem(mount: fields[1], freePercent: free))
            }
        case ("memory", 3):
            if fields[1] == "MemTotal:" { memoryTotalKiB = Int(fields[2]) ?? 0 }
            if fields[1] == "MemAvailable:" { memoryAvailableKiB = Int(fields[2]) ?? 0 }
        case ("failed", 2): failedUnits.append(fields[1])
        case ("restarts", 3): unitRestarts[fields[1]] = Int(fields[2])
        case ("errors", 3): logErrors[fields[1]] = Int(fields[2])
        case ("libvirt", 2): isLibvirtActive = fields[1] == "active"
        case ("time", 2): time = Double(fields[1])
        case ("end", 1): isComplete = true
        default: break
        }
    }

    /// - Parameters:
    ///   - asked: this machine's clock before and after the host was asked: its own must lie between, give or take.
    ///   - needsLibvirt: whether guests of libvirt are to run here.
    func findings(host: String, asked: ClosedRange<Double>, needsLibvirt: Bool) -> [Finding] {
        let subject = "host \(host)"
        guard isComplete else {
            return [
                Finding(
                    .error, subject, "it did not answer all questions",
                    mend: "Log in with ssh and see whether its disks and its systemd answer.")
            ]
        }
        return roomFindings(subject) + clockFindings(subject, asked: asked)
            + unitFindings(subject, needsLibvirt: needsLibvirt)
    }

    private func roomFindings(_ subject: String) -> [Finding] {
        var findings: [Finding] = []
        for system in fileSystems where system.freePercent < Self.roomPercent {
            findings.append(
                Finding(
                    system.freePercent < Self.roomPercent / 3 ? .error : .warning, subject,
                    "\(system.mount) has \(system.freePercent) % of its room left",
                    mend: "Free room there or make it larger; `journalctl --vacuum-size=200M` frees old logs."))
        }
        if memoryTotalKiB > 0, memoryAvailableKiB * 100 < memoryTotalKiB * Self.memoryPercent {
            findings.append(
                Finding(
                    .warning, subject,
                    "\(memoryAvailableKiB / 1024) of \(memoryTotalKiB / 1024) MiB of memory are available",
                    mend: "Move work away or raise reservedMemoryMiB of the host in the topology."))
        }
        return findings
    }

    private func clockFindings(_ subject: String, asked: ClosedRange<Double>) -> [Finding] {
        guard let time else { return [] }
        let off = max(asked.lowerBound - time, time - asked.upperBound)
        guard off > Self.clockSeconds else { return [] }
        return [
            Finding(
                .error, subject, "its clock is \(Int(off.rounded())) s off this machine's",
                mend: "Have it keep time (`apt-get install chrony`), and see that this machine does.")
        ]
    }

    private func unitFindings(_ subject: String, needsLibvirt: Bool) -> [Finding] {
        var findings = failedUnits.map { unit in
            Finding(
                unit.hasPrefix("cellwright-") ? .error : .warning, subject, "systemd could not run \(unit)",
                mend: unit.hasPrefix("cellwright-")
                    ? "`cellwright logs \(unit)` says why; `cellwright apply` starts it again."
                    : "`systemctl status \(unit)` there says why; `systemctl reset-failed \(unit)` if it is not needed."
            )
        }
        for (unit, count) in unitRestarts.sorted(by: { $0.key < $1.key }) where count > Self.restarts {
            findings.append(
                Finding(
                    .warning, subject, "\(unit) was brought back \(count) times",
                    mend: "`cellwright logs \(unit) --lines 500` shows what it ended with."))
        }
        for (unit, count) in logErrors.sorted(by: { $0.key < $1.key }) where count > 0 {
            findings.append(
                Finding(
                    .warning, subject, "\(unit) logged \(CellText.counted(count, "error")) in the last hour",
                    mend: "`cellwright logs \(unit) --since '1 hour ago' --lines 5000` shows them."))
        }
        if needsLibvirt, isLibvirtActive == false {
            findings.append(
                Finding(
                    .error, subject, "libvirtd does not run: no guest can be started",
                    mend: "`cellwright apply` starts it; `journalctl -u libvirtd` there says why it ended."))
        }
        return findings
    }
}

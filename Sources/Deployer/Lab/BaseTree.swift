package import FoundationEssentials
import Crypto
import SystemPackage

/// The Debian tree that lab hosts share under their own disks: built once by mmdebstrap, kept for all labs of the machine.
package struct BaseTree: Sendable {
    package static let cacheFolder = "/var/cache/cellwright"
    static let buildTimeout = Duration.seconds(1_800)
    /// How long to wait for another run of the tool that is building the same.
    static let waitLimit = Duration.seconds(1_800)

    /// What every role needs, so that a host has nothing to install when it comes up.
    package static let packages = [
        "ca-certificates", "curl", "dbus", "dnsmasq-base", "genisoimage", "gzip", "iproute2", "iputils-ping",
        "libpq5", "librabbitmq4", "libvirt-clients", "libvirt-daemon-driver-qemu", "libvirt-daemon-system",
        "libvirt0", "nftables", "openssh-client", "openssh-server", "postgresql", "procps", "qemu-system-x86",
        "qemu-utils", "rabbitmq-server", "systemd", "systemd-sysv",
    ]

    /// Services that are installed but wait until something asks for them: a role of the host, by the tool.
    static let dormant = [
        "postgresql.service", "rabbitmq-server.service", "epmd.service", "epmd.socket", "libvirtd.service",
        "libvirtd.socket", "libvirtd-ro.socket", "libvirtd-admin.socket", "libvirt-guests.service",
        "nftables.service", "dnsmasq.service", "e2scrub_reap.service", "apt-daily.timer",
        "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    ]

    /// Makes a fresh tree fit for many hosts: nothing in it may be the same secret on all of them. `$1` is the tree.
    static let customisation = """
        set -eu
        rm -f "$1"/etc/ssh/ssh_host_* "$1"/var/lib/rabbitmq/.erlang.cookie "$1"/etc/hostname "$1"/var/lib/dbus/machine-id
        : > "$1"/etc/machine-id
        : > "$1"/etc/resolv.conf
        for unit in \(dormant.joined(separator: " ")); do chroot "$1" systemctl -q disable "$unit" 2>/dev/null || true; done
        chroot "$1" systemctl -q enable systemd-networkd.service
        chroot "$1" systemctl -q mask console-getty.service systemd-networkd-wait-online.service
        """

    /// Debian release, by code name: this machine's own, so that what is built here runs there.
    let suite: String

    package init(suite: String) { self.suite = suite }

    /// The tree for this machine.
    package static func forThisMachine() throws -> BaseTree {
        var values: [String: String] = [:]
        for line in try FileSystem.text("/etc/os-release").lines {
            let parts = line.split(separator: "=", maxSplits: 1)
            if parts.count == 2 { values[String(parts[0])] = parts[1].filter { $0 != "\"" } }
        }
        guard values["ID"] == "debian", let suite = values["VERSION_CODENAME"] else {
            return BaseTree(suite: "bookworm")
        }
        return BaseTree(suite: suite)
    }

    /// Changes whenever the recipe does.
    package var digest: String {
        let recipe = ([suite, Self.customisation] + Self.packages).joined(separator: "\n")
        return SHA256.hash(data: Data(recipe.utf8)).prefix(8).map { byte in
            let hex = String(byte, radix: 16)
            return hex.count == 1 ? "0" + hex : hex
        }.joined()
    }

    package var path: String { "\(Self.cacheFolder)/base-\(digest)" }

    package var exists: Bool { FileSystem.exists(path) }

    /// Builds the tree unless it is there. Packages are kept as they come, so a build that was cut short goes on from
    /// what it had; the tree appears under its name only when it is whole.
    package func build(reporter: any ProgressReporter, now: Date) async throws {
        if exists { return }
        try FileSystem.makeFolder(
            Self.cacheFolder, mode: [.ownerReadWriteExecute, .groupReadExecute, .otherReadExecute])
        var lock: ExclusiveLock?
        var blocker: ExclusiveLock.Held?
        let took = try await poll(every: .seconds(1), for: Self.waitLimit) {
            do {
                lock = try ExclusiveLock(path: "\(Self.cacheFolder)/lock", command: "build of a base tree", now: now)
                return true
            } catch let held as ExclusiveLock.Held {
                if blocker == nil {
                    reporter.report(ProgressEvent(.note, "waiting for another build of a base tree", detail: "\(held)"))
                }
                blocker = held
                return false
            }
        }
        guard took, let held = consume lock else {
            throw LabFailure("the base tree is still being built by another run")
        }
        try await withLock(held) {
            if exists { return }
            try await reporter.step("build the Debian base tree \(path) (once, about a minute)", announced: true) {
                try await bootstrap(reporter: reporter)
            }
        }
    }

    private func withLock(_ lock: borrowing ExclusiveLock, _ body: () async throws -> Void) async throws {
        try await body()
    }

    private func bootstrap(reporter: any ProgressReporter) async throws {
        let temporary = "\(path).partial"
        let archives = "\(Self.cacheFolder)/archives-\(suite)"
        try FileSystem.remove(temporary)
        try FileSystem.makeFolder(archives)
        let arguments =
            [
                "--mode=root", "--variant=minbase", "--include=\(Self.packages.joined(separator: ","))",
                "--skip=download/empty,essential/unlink", "--setup-hook=mkdir -p \"$1\"/var/cache/apt/archives",
                "--setup-hook=sync-in \(archives) /var/cache/apt/archives",
                "--customize-hook=sync-out /var/cache/apt/archives \(archives)",
                "--customize-hook=\(Self.customisation)", "--aptopt=Acquire::Retries \"3\"",
                "--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/doc/*",
                "--dpkgopt=path-exclude=/usr/share/man/*", "--dpkgopt=path-exclude=/usr/share/locale/*",
                suite, temporary,
            ] + (try await mirrors())
        try await LocalCommand("mmdebstrap", arguments, timeout: Self.buildTimeout).follow { line in
            if line.hasPrefix("I: ") { reporter.report(ProgressEvent(.note, String(line.dropFirst(3)))) }
        }
        try FileSystem.rename(temporary, to: path)
        try FileSystem.remove(archives)
    }

    /// Lines for apt: the mirrors that this machine itself uses, else Debian's own.
    private func mirrors() async throws -> [String] {
        let format = "$(ORIGIN) $(SITE) $(RELEASE) $(COMPONENT)"
        let result = try await LocalCommand(
            "apt-get", ["indextargets", "--format", format, "Created-By: Packages"]
        ).run()
        let found = Self.mirrorLines(indexTargets: result.status == 0 ? result.standardOutput : "", suite: suite)
        if !found.isEmpty { return found }
        return [
            "deb http://deb.debian.org/debian \(suite) main", "deb http://deb.debian.org/debian \(suite)-updates main",
            "deb http://deb.debian.org/debian-security \(suite)-security main",
        ]
    }

    /// The release itself must be among them; parts other than `main` are not needed.
    static func mirrorLines(indexTargets: String, suite: String) -> [String] {
        var lines: [String] = []
        for target in indexTargets.lines {
            let parts = target.split(separator: " ").map(String.init)
            guard parts.count == 4, parts[0] == "Debian", parts[3] == "main",
                [suite, "\(suite)-updates", "\(suite)-security"].contains(parts[2])
            else { continue }
            let line = "deb \(parts[1]) \(parts[2]) main"
            if !lines.contains(line) { lines.append(line) }
        }
        return lines.contains { $0.hasSuffix(" \(suite) main") } ? lines : []
    }
}

import FoundationEssentials
import Glibc
import HypervisorDriver
import LibvirtDriver
import Subprocess
import SystemPackage
import Testing

/// A libvirtd that only these tests use, in mount, network and process namespaces of its own. It ends with the tests,
/// however they end: its first process reads a pipe that only this process holds open.
struct PrivateLibvirtd: Sendable {
    @TaskLocal static var current: PrivateLibvirtd?

    /// Why there can be none on this machine, if so.
    static let obstacle: String? = {
        guard geteuid() == 0 else { return "needs root" }
        let programs = [
            "/usr/sbin/libvirtd", "/usr/bin/qemu-system-x86_64", "/usr/bin/unshare", "/usr/sbin/ip", "/bin/bash",
        ]
        return programs.first { access($0, X_OK) != 0 }.map { "\($0) is missing" }
    }()

    /// A tap device inside its network, with the address 10.77.0.1/24 on our side.
    static let tapName = "cwtap0"

    let folder: String
    private let commands: @Sendable (String) async throws -> Void

    var settings: LibvirtHypervisor.Settings {
        LibvirtHypervisor.Settings(
            uri: "qemu+unix:///system?socket=\(folder)/run/libvirt-sock", virtType: .auto, keepAliveSeconds: 1,
            keepAliveCount: 3)
    }

    /// Kills the daemon and starts it again; guests go on.
    func restart() async throws { try await commands("restart") }
    /// Kills all guests while the daemon is dead, and starts the daemon again.
    func restartWithoutGuests() async throws { try await commands("lose-guests") }
    /// Kills all guests under the daemon's eyes.
    func killGuests() async throws { try await commands("kill-guests") }
    /// Stops the daemon where it is.
    func freeze() async throws { try await commands("freeze") }
    func thaw() async throws { try await commands("thaw") }

    /// Runs a body with a daemon that answers.
    static func running(_ body: @Sendable () async throws -> Void) async throws {
        let folder = "/tmp/cellwright-libvirtd-\(getpid())"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let result = try await run(
            .path("/usr/bin/unshare"),
            arguments: [
                "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private",
                "/bin/bash", "-c", script, "private-libvirtd", folder,
            ], input: .inputWriter, output: .discarded, error: .discarded
        ) { execution in
            let daemon = PrivateLibvirtd(folder: folder) { command in
                _ = try await execution.standardInputWriter.write(command + "\n")
                try await eventually("\(command) is done") { unlink("\(folder)/done") == 0 }
            }
            try await eventually("libvirtd answers", within: .seconds(60)) {
                access("\(folder)/run/libvirt-sock", F_OK) == 0
            }
            try await $current.withValue(daemon) { try await body() }
            try await execution.standardInputWriter.finish()
        }
        #expect(result.terminationStatus.isSuccess)
        try FileManager.default.removeItem(atPath: folder)
    }

    private static let script = """
        set -u
        folder=$1
        exec 2>>"$folder/out" >&2
        mkdir -p "$folder"/{etc,run,lib,log,cache}
        cp -a /etc/libvirt/. "$folder/etc/"
        rm -rf "$folder"/etc/qemu/networks/autostart/* "$folder"/etc/nwfilter/*
        cat >"$folder/etc/libvirtd.conf" <<END
        unix_sock_dir = "$folder/run"
        unix_sock_group = "root"
        auth_unix_rw = "none"
        auth_unix_ro = "none"
        host_uuid = "$(cat /proc/sys/kernel/random/uuid)"
        log_outputs = "2:file:$folder/libvirtd.log"
        END
        cat >"$folder/etc/qemu.conf" <<END
        user = "root"
        group = "root"
        dynamic_ownership = 0
        security_driver = "none"
        cgroup_controllers = [ ]
        namespaces = [ ]
        stdio_handler = "file"
        END
        # What libvirtd found out about QEMU takes it seconds; it may be known already.
        cp -a /var/cache/libvirt/. "$folder/cache/"
        mount -t tmpfs tmpfs /run
        mkdir /run/libvirt
        mount --bind "$folder/etc" /etc/libvirt
        mount --bind "$folder/lib" /var/lib/libvirt
        mount --bind "$folder/log" /var/log/libvirt
        mount --bind "$folder/cache" /var/cache/libvirt
        ip link set lo up
        ip tuntap add dev cwtap0 mode tap
        ip addr add 10.77.0.1/24 dev cwtap0
        ip link set cwtap0 up
        if command -v dnsmasq; then
            dnsmasq --keep-in-foreground --conf-file=/dev/null --pid-file --leasefile-ro --no-ping --port=0 --interface=cwtap0 \\
                --bind-interfaces --dhcp-range=10.77.0.50,10.77.0.60,255.255.255.0 &
        fi
        kill_guests() {
            # Only this namespace's processes are seen here.
            for process in /proc/[0-9]*; do
                case $(readlink "$process/exe") in
                */qemu-system-*) kill -KILL "${process#/proc/}" ;;
                esac
            done
        }
        # The daemon is started again whenever it ends, as systemd does it: libvirt 9.0's own daemon crashes now and then
        # when it wakes after its clients have gone.
        keep_daemon() {
            while :; do
                until [ ! -e "$folder/hold" ]; do sleep 0.05; done
                libvirtd & echo $! >"$folder/daemon.new"
                mv "$folder/daemon.new" "$folder/daemon"
                wait $!
            done
        }
        keep_daemon &
        while read -r command; do
            daemon=$(cat "$folder/daemon")
            case $command in
            restart) kill -KILL "$daemon" ;;
            lose-guests)
                : >"$folder/hold"
                kill -KILL "$daemon"
                kill_guests
                rm "$folder/hold" ;;
            kill-guests) kill_guests ;;
            freeze) kill -STOP "$daemon" ;;
            thaw) kill -CONT "$daemon" ;;
            esac
            : >"$folder/done"
        done
        exit 0
        """
}

/// Gives a suite a libvirtd of its own.
struct PrivateLibvirtdTrait: SuiteTrait, TestScoping {
    @concurrent func provideScope(
        for test: Test, testCase: Test.Case?, performing function: @concurrent @Sendable () async throws -> Void
    ) async throws {
        guard PrivateLibvirtd.obstacle == nil else { return try await function() }
        try await PrivateLibvirtd.running { try await function() }
    }
}

extension Trait where Self == PrivateLibvirtdTrait {
    static var privateLibvirtd: Self { Self() }
}

/// Texts of systemd units for our processes.
///
/// Every process ends by itself or is restarted within a second, without a limit of tries; what it may touch is narrowed
/// to what its kind needs.
enum UnitFile {
    static func text(of process: ProcessLayout.Process, inputs: String) -> String {
        // Names that a host has no unit for count for nothing; where they are, processes stop before what they use.
        let servers = process.kind == .compute ? "libvirtd.service" : "postgresql.service rabbitmq-server.service"
        var lines = [
            "# Written by cellwright apply; changes are overwritten.",
            "[Unit]",
            "Description=Cellwright \(process.kind.rawValue) of \(process.kind == .compute ? "this host" : "cell \(process.cell)")",
            "After=network-online.target \(servers)",
            "Wants=network-online.target",
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=exec",
            "User=\(process.account)",
            "Group=\(process.account)",
            "Environment=\(memorySettings)",
            "ExecStart=\(process.binaryPath) --config \(process.configurationPath)",
            "Restart=always",
            "RestartSec=1",
            "TimeoutStopSec=10",
            "KillMode=\(process.kind == .compute ? "process" : "mixed")",
            "LimitNOFILE=65536",
            "OOMScoreAdjust=-500",
        ]
        lines += process.kind == .compute ? computeConfinement : confinement
        if process.kind == .api {
            lines.append("ReadWritePaths=\(ProcessLayout.Paths.state)")
            // systemd keeps the listening socket while the process is restarted: who connects meanwhile waits.
            lines += ["NotifyAccess=main", "FileDescriptorStoreMax=1"]
        }
        // What differs from host to host stands at the end, so that the digests of a hundred thousand begin alike.
        lines.append("Environment=\(ResourceSpecification.Unit.inputsVariable)=\(inputs)")
        lines += ["", "[Install]", "WantedBy=multi-user.target", ""]
        return lines.joined(separator: "\n")
    }

    /// The C library keeps freed memory for later unless told otherwise: half of an API process's after a few requests.
    private static let memorySettings =
        "MALLOC_ARENA_MAX=2 MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=131072"

    private static let confinement = [
        "NoNewPrivileges=yes",
        "CapabilityBoundingSet=",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "PrivateTmp=yes",
        "PrivateDevices=yes",
        "ProtectKernelTunables=yes",
        "ProtectKernelModules=yes",
        "ProtectKernelLogs=yes",
        "ProtectControlGroups=yes",
        "ProtectClock=yes",
        "ProtectHostname=yes",
        "ProtectProc=invisible",
        "RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX",
        "RestrictNamespaces=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "LockPersonality=yes",
        "MemoryDenyWriteExecute=yes",
        "SystemCallArchitectures=native",
        "SystemCallFilter=@system-service",
        "SystemCallFilter=~@privileged @resources",
        // The threads of Swift's concurrency set their own priority.
        "SystemCallFilter=setpriority",
        "SystemCallErrorNumber=EPERM",
        "RemoveIPC=yes",
        "UMask=0077",
    ]

    /// An agent makes bridges, taps and nftables rules, serves DHCP and writes disks that QEMU reads.
    private static let computeConfinement = [
        "ProtectHome=yes",
        "ProtectKernelLogs=yes",
        "ProtectClock=yes",
        "LockPersonality=yes",
        "RestrictRealtime=yes",
        "RestrictSUIDSGID=yes",
        "ProtectHostname=yes",
        "SystemCallArchitectures=native",
        "UMask=0022",
    ]
}

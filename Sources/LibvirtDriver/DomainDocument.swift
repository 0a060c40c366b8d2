import CloudModel
import HypervisorDriver
import Primitives

/// Writes libvirt's description of a guest, and reads back from one what we need.
///
/// Every domain of ours is named `cellwright-<id>`, has the server's id as its UUID, and carries a metadata element with
/// that id under our own namespace. A domain without all three is somebody else's.
struct DomainDocument {
    static let metadataKey = "cellwright"
    static let metadataNamespace = "https://cellwright.dev/ns/guest/1"
    static let namePrefix = ServerID.guestNamePrefix

    /// `kvm`, `qemu`, or `test` on libvirt's test driver.
    let domainType: String
    let architecture: String

    static func name(of id: ServerID) -> String { id.guestName }

    /// The id in a domain's name, if it is a name of ours.
    static func id(fromName name: String) -> ServerID? {
        guard name.hasPrefix(namePrefix), let id = ServerID(name.dropFirst(namePrefix.count)), self.name(of: id) == name
        else { return nil }
        return id
    }

    /// The id in a metadata element, as libvirt gives it back; `nil` for whatever we did not write.
    static func id(fromMetadata text: String) -> ServerID? {
        guard let element = try? XMLParser.parse(text), element.name.hasSuffix("guest") else { return nil }
        return element[attribute: "id"].flatMap { ServerID($0) }
    }

    func render(_ guest: GuestDefinition) throws(HypervisorError) -> String {
        try Self.check(guest)
        return XMLElement(
            "domain", ["type": domainType], identity(of: guest) + machine(of: guest) + [devices(of: guest)]
        )
        .rendered()
    }

    // MARK: Parts

    private func identity(of guest: GuestDefinition) -> [XMLElement] {
        let key = Self.metadataKey
        var parts = [
            XMLElement("name", text: Self.name(of: guest.id)),
            XMLElement("uuid", text: guest.id.description),
        ]
        // libvirt refuses line ends in titles.
        let title = String(guest.displayName.map { $0.isNewline ? " " : $0 }).trimmingBlanks()
        if !title.isEmpty { parts.append(XMLElement("title", text: String(title))) }
        parts.append(
            XMLElement(
                "metadata",
                [XMLElement("\(key):guest", ["xmlns:\(key)": Self.metadataNamespace, "id": guest.id.description])]))
        return parts
    }

    private func machine(of guest: GuestDefinition) -> [XMLElement] {
        var parts = [
            XMLElement("memory", ["unit": "MiB"], text: String(guest.memoryMiB)),
            XMLElement("vcpu", text: String(guest.vcpus)),
            XMLElement(
                "sysinfo", ["type": "smbios"],
                [
                    XMLElement(
                        "system",
                        [
                            XMLElement("entry", ["name": "manufacturer"], text: "Cellwright"),
                            // The product by which cloud-init knows where to look.
                            XMLElement("entry", ["name": "product"], text: "OpenStack Compute"),
                            XMLElement("entry", ["name": "uuid"], text: guest.id.description),
                            XMLElement("entry", ["name": "family"], text: "Virtual Machine"),
                        ])
                ]),
            XMLElement(
                "os",
                [
                    domainType == "test"
                        ? XMLElement("type", text: "hvm")
                        : XMLElement("type", ["arch": architecture, "machine": "pc"], text: "hvm"),
                    XMLElement("boot", ["dev": "hd"]),
                    XMLElement("smbios", ["mode": "sysinfo"]),
                ]),
            XMLElement("features", [XMLElement("acpi"), XMLElement("apic")]),
        ]
        if domainType == "kvm" { parts.append(XMLElement("cpu", ["mode": "host-model"])) }
        parts.append(
            XMLElement(
                "clock", ["offset": "utc"],
                [
                    XMLElement("timer", ["name": "rtc", "tickpolicy": "catchup"]),
                    XMLElement("timer", ["name": "pit", "tickpolicy": "delay"]),
                    XMLElement("timer", ["name": "hpet", "present": "no"]),
                ]))
        parts.append(XMLElement("on_poweroff", text: "destroy"))
        parts.append(XMLElement("on_reboot", text: "restart"))
        parts.append(XMLElement("on_crash", text: "destroy"))
        return parts
    }

    private func devices(of guest: GuestDefinition) -> XMLElement {
        var parts: [XMLElement] = []
        if let disk = guest.rootDisk {
            parts.append(
                XMLElement(
                    "disk", ["type": "file", "device": "disk"],
                    [
                        XMLElement(
                            "driver", ["name": "qemu", "type": disk.format, "cache": "writeback", "discard": "unmap"]),
                        XMLElement("source", ["file": disk.path]),
                        XMLElement("target", ["dev": "vda", "bus": "virtio"]),
                    ]))
        }
        if let path = guest.configDrivePath {
            parts.append(
                XMLElement(
                    "disk", ["type": "file", "device": "cdrom"],
                    [
                        XMLElement("driver", ["name": "qemu", "type": "raw"]),
                        XMLElement("source", ["file": path]),
                        XMLElement("target", ["dev": "sda", "bus": "scsi"]),
                        XMLElement("readonly"),
                    ]))
        }
        parts.append(XMLElement("controller", ["type": "scsi", "index": "0", "model": "virtio-scsi"]))
        // Nothing of ours needs USB, and its polling costs an emulated guest processor time.
        parts.append(XMLElement("controller", ["type": "usb", "index": "0", "model": "none"]))
        parts += guest.cards.map(interface)
        parts += consoles(of: guest)
        return XMLElement("devices", parts)
    }

    private func interface(_ card: GuestDefinition.Card) -> XMLElement {
        XMLElement(
            "interface", ["type": "ethernet"],
            [
                XMLElement("mac", ["address": card.macAddress]),
                // The tap is the agent's: made before, removed after, never by libvirt.
                XMLElement("target", ["dev": card.tapName, "managed": "no"]),
                XMLElement("model", ["type": "virtio"]),
                XMLElement("driver", ["name": "qemu"]),
                XMLElement("mtu", ["size": String(card.mtu)]),
            ])
    }

    private func consoles(of guest: GuestDefinition) -> [XMLElement] {
        [
            XMLElement(
                "serial", ["type": "pty"],
                [
                    XMLElement("log", ["file": guest.consoleLogPath, "append": "off"]),
                    XMLElement("target", ["type": "isa-serial", "port": "0"]),
                ]),
            XMLElement("console", ["type": "pty"], [XMLElement("target", ["type": "serial", "port": "0"])]),
            XMLElement("input", ["type": "keyboard", "bus": "ps2"]),
            XMLElement(
                "graphics", ["type": "vnc", "port": "-1", "autoport": "yes", "listen": "127.0.0.1"],
                [XMLElement("listen", ["type": "address", "address": "127.0.0.1"])]),
            XMLElement("video", [XMLElement("model", ["type": "vga", "vram": "16384", "heads": "1"])]),
            XMLElement("memballoon", ["model": "virtio"]),
            XMLElement("rng", ["model": "virtio"], [XMLElement("backend", ["model": "random"], text: "/dev/urandom")]),
        ]
    }

    // MARK: Checks

    /// What the kernel or libvirt would refuse later and less clearly.
    private static func check(_ guest: GuestDefinition) throws(HypervisorError) {
        guard guest.vcpus > 0, guest.memoryMiB > 0 else { throw .invalid("a guest needs processors and memory") }
        let paths = [guest.rootDisk?.path, guest.configDrivePath, guest.consoleLogPath].compactMap(\.self)
        guard paths.allSatisfy({ $0.hasPrefix("/") && !$0.contains("\0") }) else {
            throw .invalid("a guest's files need absolute paths")
        }
        if let disk = guest.rootDisk, !["raw", "qcow2"].contains(disk.format) {
            throw .invalid("a disk is raw or qcow2, not \(disk.format)")
        }
        let interfaceNameLimit = 15
        for card in guest.cards {
            guard (1...interfaceNameLimit).contains(card.tapName.utf8.count),
                card.tapName.allSatisfy({ $0.isASCII && !$0.isWhitespace && $0 != "/" })
            else { throw .invalid("'\(card.tapName)' cannot name a network device") }
            guard isMACAddress(card.macAddress) else { throw .invalid("'\(card.macAddress)' is no MAC address") }
            guard (68...65_535).contains(card.mtu) else { throw .invalid("an MTU of \(card.mtu) is out of range") }
        }
    }

    private static func isMACAddress(_ text: String) -> Bool {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        return parts.count == 6 && parts.allSatisfy { $0.utf8.count == 2 && $0.allSatisfy(\.isHexDigit) }
    }
}

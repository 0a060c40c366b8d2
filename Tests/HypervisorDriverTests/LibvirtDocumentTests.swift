import CloudModel
import FoundationEssentials
import HypervisorDriver
import Primitives
import Testing

@testable import LibvirtDriver

@Suite struct LibvirtDocumentTests {
    static let id = ServerID(UUID(uuid: (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16)))
    static let guest = GuestDefinition(
        id: id, displayName: "web </title><evil/> '1'\n\u{1}", vcpus: 2, memoryMiB: 512,
        rootDisk: .init(path: "/var/a & b's/disk", format: "qcow2"), configDrivePath: "/var/config.iso",
        cards: [.init(tapName: "tap123", macAddress: "fa:16:3e:aa:bb:cc", mtu: 1450)],
        consoleLogPath: "/var/console.log")

    func document(_ guest: GuestDefinition = guest, type: String = "qemu") throws -> XMLElement {
        try XMLParser.parse(try DomainDocument(domainType: type, architecture: "x86_64").render(guest))
    }

    @Test func describesTheGuest() throws {
        let domain = try document()
        #expect(domain[attribute: "type"] == "qemu")
        #expect(domain.all("name").map(\.text) == ["cellwright-01020304-0506-0708-090a-0b0c0d0e0f10"])
        #expect(domain.all("uuid").map(\.text) == [Self.id.description])
        #expect(domain.all("title").map(\.text) == ["web </title><evil/> '1' \u{FFFD}"])
        #expect(domain.all("memory").map { [$0.text, $0[attribute: "unit"]] } == [["512", "MiB"]])
        #expect(domain.all("vcpu").map(\.text) == ["2"])
        #expect(domain.all("os", "type").map { $0[attribute: "machine"] } == ["pc"])
        #expect(domain.all("evil").isEmpty && domain.all("title", "evil").isEmpty)

        let disks = domain.all("devices", "disk")
        #expect(disks.map { $0[attribute: "device"] } == ["disk", "cdrom"])
        #expect(
            disks.flatMap { $0.all("source") }.map { $0[attribute: "file"] } == [
                "/var/a & b's/disk", "/var/config.iso",
            ])
        #expect(disks.flatMap { $0.all("target") }.map { $0[attribute: "bus"] } == ["virtio", "scsi"])
        let card = try #require(domain.all("devices", "interface").first)
        #expect(card[attribute: "type"] == "ethernet")
        #expect(card.all("target").map { $0[attribute: "dev"] } == ["tap123"])
        #expect(card.all("target").map { $0[attribute: "managed"] } == ["no"])
        #expect(card.all("mtu").map { $0[attribute: "size"] } == ["1450"])
        #expect(domain.all("devices", "serial", "log").map { $0[attribute: "file"] } == ["/var/console.log"])
        let screen = try #require(domain.all("devices", "graphics").first)
        #expect(screen[attribute: "type"] == "vnc" && screen[attribute: "listen"] == "127.0.0.1")
        #expect(domain.all("devices", "rng").count == 1)
    }

    @Test func carriesOurMarks() throws {
        let mark = try #require(try document().all("metadata").first?.children.first)
        #expect(DomainDocument.id(fromMetadata: mark.rendered()) == Self.id)
        #expect(DomainDocument.id(fromName: DomainDocument.name(of: Self.id)) == Self.id)
        for name in ["test", "cellwright-", "cellwright-x", "cellwright-\(Self.id.hex)", "Cellwright-\(Self.id)"] {
            #expect(DomainDocument.id(fromName: name) == nil)
        }
        for text in ["", "<guest/>", "<a id='\(Self.id)'/>", "<c:guest id='x'/>", "<c:guest id='\(Self.id)'>"] {
            #expect(DomainDocument.id(fromMetadata: text) == nil)
        }
    }

    @Test func leavesOutWhatIsNotThere() throws {
        var guest = Self.guest
        guest.rootDisk = nil
        guest.configDrivePath = nil
        guest.cards = []
        guest.displayName = " \n"
        let domain = try document(guest)
        #expect(domain.all("devices", "disk").isEmpty)
        #expect(domain.all("devices", "interface").isEmpty)
        #expect(domain.all("title").isEmpty)
        #expect(domain.all("cpu").isEmpty)
        #expect(try document(guest, type: "kvm").all("cpu").map { $0[attribute: "mode"] } == ["host-model"])
    }

    @Test(
        arguments: [
            { $0.vcpus = 0 }, { $0.memoryMiB = -1 }, { $0.consoleLogPath = "relative" },
            { $0.rootDisk?.format = "vmdk" }, { $0.rootDisk?.path = "" }, { $0.configDrivePath = "x\0y" },
            { $0.cards[0].tapName = "" }, { $0.cards[0].tapName = "sixteen-letters-" }, { $0.cards[0].tapName = "a/b" },
            { $0.cards[0].macAddress = "fa:16:3e:aa:bb" }, { $0.cards[0].macAddress = "fa:16:3e:aa:bb:zz" },
            { $0.cards[0].mtu = 67 },
        ] as [@Sendable (inout GuestDefinition) -> Void])
    func refusesWhatCannotWork(_ change: @Sendable (inout GuestDefinition) -> Void) {
        var guest = Self.guest
        change(&guest)
        let broken = guest
        #expect(throws: HypervisorError.self) { try document(broken) }
    }

    @Test func readsWhatLibvirtAnswers() throws {
        let running = """
            <?xml version="1.0"?><!-- made by libvirt -->
            <domain type='qemu' id="3"><devices><serial type='pty'><source path='/dev/pts/1'/>
            <log file='/var/a &amp; b' append='off'/></serial>
            <graphics type='spice' port='1'/><graphics type='vnc' port='5901' listen='127.0.0.1'/></devices></domain>
            """
        #expect(
            try DomainFacts(running)
                == DomainFacts(consoleLogPath: "/var/a & b", vncAddress: ConsoleAddress(host: "127.0.0.1", port: 5901)))
        let off = running.replacing("'5901'", with: "'-1'").replacing(
            "<log file='/var/a &amp; b' append='off'/>", with: "")
        #expect(try DomainFacts(off) == DomainFacts(consoleLogPath: nil, vncAddress: nil))
    }

    @Test func parsesWhatXMLAllows() throws {
        let element = try XMLParser.parse(
            "<a x='1' y = \"&lt;&#65;&#x42;'\"> t&amp;<!-- <b> --><b/><![CDATA[<raw>]]><c >z</c ></a> ")
        #expect(element[attribute: "y"] == "<AB'")
        #expect(element.children.map(\.name) == ["b", "c"])
        #expect(element.text == "t&<raw>")
        #expect(element.all("c").first?.text == "z")
    }

    @Test(arguments: [
        "", "a", "<a", "<a>", "<a></b>", "<a x></a>", "<a x=1/>", "<a x='1/>", "<a>&nosuch;</a>", "<a>&#xD800;</a>",
        "<a/><b/>", "<!DOCTYPE a><a/>", "<a><!--</a>", "</a>", "<a>&amp</a>",
    ]) func refusesWhatIsNotXML(_ text: String) {
        #expect(throws: XMLParser.Failure.self) { try XMLParser.parse(text) }
    }

    @Test func refusesAbsurdNesting() {
        let depth = 100_000
        let text = String(repeating: "<a>", count: depth) + String(repeating: "</a>", count: depth)
        #expect(throws: XMLParser.Failure.tooDeep) { try XMLParser.parse(text) }
    }
}

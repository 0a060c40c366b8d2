import CloudModel
import FoundationEssentials
import Testing
import Topology

@Suite("Good topology files")
struct GoodDocumentTests {
    private func read(_ path: String) throws -> Topology {
        try TopologyDocument.read(try RepositoryFiles.text(path), file: path)
    }

    @Test("the sample is a lab with one control host and two leaf cells of two hosts")
    func sample() throws {
        let topology = try read("topology.yaml")
        #expect(topology.cells.map(\.path.description) == ["/", "/north", "/south"])
        #expect(
            topology.hosts.map(\.name.text) == ["control-1", "north-1", "north-2", "south-1", "south-2"])
        #expect(topology.roles(of: "control-1") == [.api, .supervisor, .conductor, .database, .broker])
        #expect(topology.roles(of: "north-1") == [.compute])
        #expect(topology.cells.allSatisfy { $0.controlHosts == ["control-1"] })
        #expect(topology.cells.allSatisfy { $0.database == .embedded(.init(host: "control-1")) })
        #expect(topology.bootstrap.flavors.map(\.name) == ["m1.nano", "m1.micro", "m1.tiny"])
        #expect(topology.bootstrap.networks.first?.gateway == "10.20.0.1")
        #expect(topology.bootstrap.users == [.init(name: "demo", project: "demo", roles: ["member"])])
        #expect(
            try RepositoryFiles.text("topology.yaml").hasPrefix(
                "# yaml-language-server: $schema=deploy/topology.schema.json\n"))
    }

    @Test("every key is read into the model")
    func everything() throws {
        let topology = try read("Tests/Fixtures/everything.yaml")
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        let text = String(decoding: try encoder.encode(topology), as: UTF8.self) + "\n"
        try RepositoryFiles.expectGolden(text, "Tests/Golden/everything.model.json")
        #expect(try JSONDecoder().decode(Topology.self, from: Data(text.utf8)) == topology)
    }

    @Test("a host takes settings from the topology, then from its cells, then its own")
    func inheritance() throws {
        let topology = try read("Tests/Fixtures/everything.yaml")
        let host = try #require(topology.host("rack7-02"))
        #expect(
            host.ssh
                == .init(user: "operator", port: 22, identityFile: "keys/operator", jump: "gate@bastion.example:22"))
        #expect(host.hypervisor == .init(driver: .simulated, virtType: .auto, uri: "test:///default"))
        #expect(host.capacity == .init(vcpus: 16, memoryMiB: 1024, diskGiB: 500))
        #expect(host.availabilityZone == "rack7")
        #expect(host.labels == ["site": "lyon", "continent": "europe", "rack": "r7"])
        #expect(topology.host("us-a2b1")?.availabilityZone == "az-1")
    }

    @Test("a cell with a control host of its own keeps its data there, another keeps it where its parent does")
    func servers() throws {
        let topology = try read("Tests/Fixtures/everything.yaml")
        #expect(topology.cell(path("/eu"))?.database == .embedded(.init(host: "eu-control")))
        #expect(topology.cell(path("/eu/eu-2"))?.database == .embedded(.init(host: "eu-control")))
        #expect(topology.cell(path("/us"))?.database == .embedded(.init(host: "db-1", port: 5433)))
        #expect(topology.cell(path("/us"))?.controlHosts == ["api-1", "api-2"])
    }

    @Test("without a lab a host is reached by its address, else by its name")
    func addresses() throws {
        let topology = try TopologyDocument.read(
            """
            apiVersion: cellwright/v1
            name: c
            hosts:
              - name: a
                address: 192.0.2.1
            cells:
              - name: n
                hosts: ["h[1-2].example.org", {name: "r[1-2]", address: "198.51.100.[7-8]"}]
            """, file: "t")
        #expect(
            topology.hosts.map(\.reachableAt)
                == ["192.0.2.1", "h1.example.org", "h2.example.org", "198.51.100.7", "198.51.100.8"])
        #expect(topology.publicURL == "https://192.0.2.1:8774")
    }

    @Test("a lab gives addresses in order, and never takes one away when hosts are added")
    func labAddresses() throws {
        var topology = try read("topology.yaml").withLabAddresses()
        #expect(
            topology.hosts.map(\.reachableAt) == ["10.77.0.11", "10.77.0.12", "10.77.0.13", "10.77.0.14", "10.77.0.15"])
        var known = Dictionary(uniqueKeysWithValues: topology.hosts.map { ($0.name, $0.reachableAt) })
        topology.machines = [.init(name: "control-1"), .init(name: "control-2")]
        #expect(topology.withLabAddresses(existing: known).host("control-2")?.address == "10.77.0.16")
        #expect(topology.withLabAddresses(existing: known).host("south-2")?.address == "10.77.0.15")
        // A container whose host has left the topology still answers at its address.
        known["gone-1"] = "10.77.0.16"
        #expect(topology.withLabAddresses(existing: known).host("control-2")?.address == "10.77.0.17")
    }

    @Test(
        "ranges expand",
        arguments: [
            ("a", ["a"]), ("r[01-03]", ["r01", "r02", "r03"]), ("r[9-11]x", ["r9x", "r10x", "r11x"]),
            ("a[1-2]b[3-4]", ["a1b3", "a1b4", "a2b3", "a2b4"]), ("n[007-008]", ["n007", "n008"]),
        ])
    func ranges(_ pattern: String, _ names: [String]) throws {
        let topology = try TopologyDocument.read(
            "apiVersion: cellwright/v1\nname: c\nhosts: [control-1]\ncells: [{name: n, hosts: [\"\(pattern)\"]}]\n",
            file: "t")
        #expect(topology.cells.last?.hosts.map(\.name.text) == names)
    }

    @Test("a thousand cells of a hundred hosts are read within two seconds in release mode, and at all in debug mode")
    func large() throws {
        var text = "apiVersion: cellwright/v1\nname: c\nhosts: [control-1]\ncells:\n"
        for cell in 0..<1000 { text += "  - name: c\(cell)\n    hosts: [\"c\(cell)-[001-100]\"]\n" }
        let topology = try TopologyDocument.read(text, file: "t")
        #expect(topology.hosts.count == 100_001)
    }

    private func path(_ text: String) -> CellPath { CellPath(text) ?? .root }
}

@Suite("The published schema")
struct SchemaTests {
    @Test("deploy/topology.schema.json is what the checks use")
    func isCurrent() throws {
        try RepositoryFiles.expectGolden(try SchemaDocument.text(), "deploy/topology.schema.json")
    }

    @Test("the schema and the model know the same keys")
    func keys() throws {
        let schema = try JSONDecoder().decode(SchemaObject.self, from: Data(try SchemaDocument.text().utf8))
        var inSchema = Set(schema.properties?.keys.map { $0 } ?? [])
        for definition in schema.definitions?.values.map({ $0 }) ?? [] {
            inSchema.formUnion(definition.properties?.keys.map { $0 } ?? [])
        }
        #expect(inSchema == TopologyKeys.all)
        // The golden model of this file is made by reading every key.
        let words = Set(
            try RepositoryFiles.text("Tests/Fixtures/everything.yaml").split { !$0.isLetter }.map(String.init))
        #expect(inSchema.subtracting(words) == [])
    }

    private struct SchemaObject: Decodable {
        struct Anything: Decodable {}
        struct Definition: Decodable { var properties: [String: Anything]? }
        var properties: [String: Anything]?
        var definitions: [String: Definition]?
    }
}

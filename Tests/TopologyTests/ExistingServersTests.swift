import CloudModel
import Testing
import Topology

@Suite("Servers that somebody else runs")
struct ExistingServersTests {
    private let topology: Topology
    private let desired: DesiredState

    init() throws {
        topology = try TopologyDocument.read(Self.text, file: "t").withLabAddresses()
        desired = DesiredState(
            topology,
            inputs: .init(
                binaries: SampleWorld.inputs.binaries, secrets: [:],
                authorities: ["tls/db.pem": "DB", "tls/mq.pem": "MQ"]))
    }

    private static let text = """
        apiVersion: cellwright/v1
        name: c
        lab: {}
        hosts: [control-1]
        cells:
          - name: north
            hosts: [north-1]
          - name: south
            database:
              existing: {url: "postgresql://dba@db.example/postgres", passwordEnv: P, caFile: tls/db.pem}
            broker:
              existing:
                url: amqps://mq%2Dadmin@mq.example
                managementURL: https://mq.example:15671
                passwordEnv: P
                caFile: tls/mq.pem
            hosts: [south-1]

        """

    private func files(on host: HostName) -> [String: String] {
        var found: [String: String] = [:]
        for resource in desired.resources where resource.id.host == host {
            if case .file(let file) = resource.specification, case .text(let text) = file.content,
                ["DB", "MQ"].contains(text)
            {
                found[file.path] = text
            }
        }
        return found
    }

    @Test("processes verify them by their own authority, and show no certificate")
    func processes() throws {
        let layout = ProcessLayout(topology)
        let process = try #require(layout.processes.first { $0.unit == "cellwright-supervisor-south.service" })
        guard case .supervisor(let settings) = process.configuration else {
            Issue.record("no supervisor")
            return
        }
        #expect(settings.database.host == "db.example" && settings.database.port == 5432)
        #expect(settings.database.tls == .init(authority: "/etc/cellwright/tls/database-south.pem"))
        #expect(settings.bus.host == "mq.example" && settings.bus.port == 5671)
        #expect(settings.bus.tls == .init(authority: "/etc/cellwright/tls/broker-south.pem"))
        // To the cloud's own servers it is who it always was.
        #expect(settings.tls?.certificate == "/etc/cellwright/tls/supervisor-south.pem")
    }

    @Test("a parent has what it needs to reach a child's broker, and a host no more than that")
    func authorities() throws {
        #expect(
            files(on: "control-1") == [
                "/etc/cellwright/tls/database-south.pem": "DB", "/etc/cellwright/tls/broker-south.pem": "MQ",
            ])
        #expect(files(on: "south-1") == ["/etc/cellwright/tls/broker-south.pem": "MQ"])
        #expect(files(on: "north-1") == [:])
        let mapping = try #require(
            desired.resources.first { $0.id == .init(.cellMapping, cell: .at("/south"), name: "south") })
        #expect(mapping.attributes["authority"] == "/etc/cellwright/tls/broker-south.pem")
        #expect(mapping.attributes["tls"] == "yes" && mapping.attributes["host"] == "mq.example")
        let layout = ProcessLayout(topology)
        for kind in [ProcessLayout.Kind.api, .supervisor] {
            let process = try #require(layout.processes.first { $0.kind == kind && $0.cell.isRoot })
            #expect(process.authorities.map(\.path) == ["/etc/cellwright/tls/broker-south.pem"])
        }
    }

    @Test("what is on them is placed by their address, and no server of ours is made for the cell")
    func places() {
        let places = desired.resources.filter { $0.cell == .at("/south") && $0.id.kind.isKeptByServer }
            .reduce(into: [Resource.Kind: Set<String>]()) {
                $0[$1.id.kind, default: []].insert($1.id.host?.text ?? "-")
            }
        #expect(
            places == [
                .databaseRole: ["db.example:5432"], .database: ["db.example:5432"], .brokerVhost: ["mq.example:5671"],
                .brokerUser: ["mq.example:5671"], .brokerPermissions: ["mq.example:5671"],
            ])
        let packages = desired.resources.first { $0.id.name == "database-client" }
        #expect(packages?.id.host == "control-1")
        #expect(topology.cell(.at("/south"))?.brokerServer.host == nil)
        guard case .existing(let server) = topology.cell(.at("/south"))?.broker else {
            Issue.record("not existing")
            return
        }
        #expect(server.user == "mq-admin")
    }

    @Test("a server that can't be reached is as unknown as a host: nothing is planned for what is on it")
    func unreachable() {
        var facts = ObservedFacts(allOf: desired)
        facts.unreachable["db.example:5432"] = "its control hosts are away"
        let plan = Plan(desired: desired, observed: facts)
        #expect(plan.isEmpty)
        #expect(plan.unknown.contains { $0.resource.kind == .database && $0.reason == "its control hosts are away" })
    }

    @Test(
        "whether one is reached over TLS",
        arguments: [
            ("auto", "amqp://a@mq", "auto", true), ("auto", "amqp://a@mq", "off", false),
            ("off", "amqp://a@mq", "auto", false), ("off", "amqps://a@mq", "auto", true),
            ("off", "amqp://a@mq", "on", true), ("auto", "amqp://a@127.0.0.1:5672", "auto", true),
        ])
    func tls(_ cloud: String, _ url: String, _ own: String, _ isOn: Bool) throws {
        var topology = topology
        topology.tls = try #require(Topology.TLSMode(rawValue: cloud))
        let server = Topology.ExistingServer(
            url: url, password: .environment("P"), tls: try #require(Topology.TLSMode(rawValue: own)))
        #expect(topology.usesTLS(server) == isOn)
        topology.lab = nil
        topology.api.listenAddresses = ["127.0.0.1"]
        topology.machines = []
        topology.root.content = .children([])
        let isAlone = server.endpoint(defaultPort: 1).host == "127.0.0.1" && own == "auto"
        #expect(topology.usesTLS(server) == (isOn && !isAlone))
    }

    @Test("without a file of authorities, those of the host's own system are installed and trusted")
    func systemAuthorities() throws {
        let text = Self.text.replacing(", caFile: tls/db.pem", with: "")
        let topology = try TopologyDocument.read(text, file: "t").withLabAddresses()
        let desired = DesiredState(topology, inputs: SampleWorld.inputs)
        let packages = desired.resources.filter { $0.id.kind == .packages && $0.id.name == "authorities" }
        #expect(packages.map(\.id.host) == ["control-1"])
        let process = ProcessLayout(topology).processes.first { $0.unit == "cellwright-conductor-south.service" }
        #expect(process?.configuration.authorities.contains("/etc/ssl/certs/ca-certificates.crt") == true)
    }
}

extension Resource.Kind {
    fileprivate var isKeptByServer: Bool {
        [.databaseRole, .database, .brokerVhost, .brokerUser, .brokerPermissions].contains(self)
    }
}

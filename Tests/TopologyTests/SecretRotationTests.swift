import CloudModel
import Testing
import Topology

@Suite("Rotation of secrets")
struct SecretRotationTests {
    private let topology: Topology
    private let layout: ProcessLayout

    init() throws {
        topology = try TopologyDocument.read(try RepositoryFiles.text("topology.yaml"), file: "t").withLabAddresses()
        layout = ProcessLayout(topology)
    }

    private func path(_ text: String) throws -> CellPath { try #require(CellPath(text)) }

    private func names(_ scope: SecretRotation.Scope) -> [String] {
        SecretRotation(topology, layout: layout, scope: scope).replacements.map(\.secret.text).sorted()
    }

    @Test("a cell's are its own, its hosts' and its parent's in it, and nobody else's")
    func cell() throws {
        #expect(
            names(.cell(try path("/north"))) == [
                "broker.conductor.north", "broker.host.north-1", "broker.host.north-2", "broker.parent.north",
                "broker.supervisor.north", "database.north",
            ])
        #expect(names(.cell(.root)) == ["broker.api.root", "broker.supervisor.root", "database.root"])
    }

    @Test("a host's is its own")
    func host() { #expect(names(.host("south-2")) == ["broker.host.south-2"]) }

    @Test("the cloud's are all that processes and parents use to log in")
    func cloud() {
        let all = names(.cloud)
        #expect(Set(all).count == all.count)
        #expect(
            Set(all) == Set(layout.secrets.map(\.text).filter { $0.hasPrefix("broker.") || $0.hasPrefix("database.") }))
    }

    @Test("every secret has readers, or is in its parent's directory")
    func readers() {
        for replacement in SecretRotation(topology, layout: layout, scope: .cloud).replacements {
            #expect(replacement.readers.isEmpty == replacement.isInMapping, "\(replacement.secret)")
            #expect(replacement.readers.allSatisfy { $0.path.hasSuffix("/\(replacement.secret)") })
        }
    }

    @Test("no secret and no certificate is read by two cells or by two compute hosts")
    func separation() {
        var cells: [SecretName: Set<CellPath>] = [:]
        var hosts: [SecretName: Set<HostName>] = [:]
        for process in layout.processes {
            for name in process.secrets.map(\.name) + [process.certificate?.name].compactMap({ $0 }) {
                cells[name, default: []].insert(process.cell)
                if process.kind == .compute { hosts[name, default: []].insert(process.host) }
            }
        }
        #expect(cells.values.allSatisfy { $0.count == 1 })
        #expect(hosts.values.allSatisfy { $0.count == 1 })
    }

    @Test("certificates of a scope")
    func certificates() throws {
        func names(_ scope: SecretRotation.Scope) -> [String] {
            SecretRotation.certificates(of: layout, scope: scope).map(\.name.text)
        }
        #expect(names(.host("north-1")) == ["tls.compute.north-1"])
        #expect(
            names(.cell(try path("/south"))) == [
                "tls.compute.south-1", "tls.compute.south-2", "tls.conductor-south.control-1",
                "tls.supervisor-south.control-1",
            ])
        #expect(
            names(.cell(.root)) == [
                "tls.api.control-1", "tls.postgresql.control-1", "tls.rabbitmq.control-1",
                "tls.supervisor-root.control-1",
            ])
        #expect(names(.cloud).count == 12)
    }

    @Test("without TLS there are no certificates, and nobody is told of any")
    func plain() {
        var plain = topology
        plain.tls = .off
        let layout = ProcessLayout(plain)
        #expect(layout.certificates.isEmpty)
        #expect(layout.processes.allSatisfy { $0.certificate == nil })
    }
}

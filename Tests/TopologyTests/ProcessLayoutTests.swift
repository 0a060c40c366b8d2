import CloudModel
import FoundationEssentials
import Testing
import Topology

@Suite("Process layout")
struct ProcessLayoutTests {
    private let layout: ProcessLayout

    init() throws {
        layout = ProcessLayout(
            try TopologyDocument.read(try RepositoryFiles.text("topology.yaml"), file: "t").withLabAddresses())
    }

    @Test("every process of the sample, where it runs and with which configuration")
    func sample() throws {
        var text = ""
        for process in layout.processes {
            text += "== \(process.unit) on \(process.host) as \(process.account)\n\(process.configurationPath)\n"
            text += process.configuration.json
            text += process.secrets.map { "\($0.name) in \($0.path)\n" }.joined() + "\n"
        }
        text += layout.brokerUsers.map { "\($0.name) on \($0.cell.resourceName)\n" }.joined()
        try RepositoryFiles.expectGolden(text, "Tests/Golden/layout-sample.txt")
    }

    @Test("a configuration is what JSONEncoder writes of it", arguments: UInt64(1)..<41)
    func json(_ seed: UInt64) throws {
        let topology = try TopologyDocument.read(RandomTopology.text(seed: seed), file: "t").withLabAddresses()
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        for process in ProcessLayout(topology).processes {
            let data =
                switch process.configuration {
                case .api(let value): try encoder.encode(value)
                case .supervisor(let value): try encoder.encode(value)
                case .conductor(let value): try encoder.encode(value)
                case .compute(let value): try encoder.encode(value)
                }
            #expect(process.configuration.json == String(decoding: data, as: UTF8.self) + "\n")
        }
    }

    @Test("an agent has no database, and only its own secret")
    func agents() {
        for process in layout.processes where process.kind == .compute {
            #expect(process.secrets.map(\.name) == [.broker(user: "host.\(process.host)")])
        }
    }

    @Test("processes on one host never share an address and port")
    func endpoints() throws {
        var text = "apiVersion: cellwright/v1\nname: c\nhosts: [control-1]\ncells:\n"
        for cell in 0..<200 { text += "  - {name: c\(cell), hosts: []}\n" }
        let layout = ProcessLayout(try TopologyDocument.read(text, file: "t"))
        let endpoints = layout.processes.map(\.configuration.healthEndpoint)
        #expect(Set(endpoints).count == endpoints.count)
    }
}

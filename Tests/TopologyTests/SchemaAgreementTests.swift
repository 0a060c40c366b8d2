import Primitives
import Testing

@testable import Topology

@Suite("The published schema and the checks")
struct SchemaAgreementTests {
    /// Read once for all the random files.
    private static let published = Result { try JSONSchema(try RepositoryFiles.text("deploy/topology.schema.json")) }

    private let schema: JSONSchema

    init() throws { schema = try Self.published.get() }

    private func tree(_ text: String) -> DocumentNode? {
        var source = YAMLSource()
        return source.read(text)
    }

    @Test(
        "what the tool accepts, an editor with the schema accepts",
        arguments: ["topology.yaml", "Tests/Fixtures/everything.yaml", "Tests/Fixtures/dev-simulated.yaml"])
    func accepted(_ path: String) throws {
        let text = try RepositoryFiles.text(path)
        _ = try TopologyDocument.read(text, file: path)
        #expect(try schema.accepts(try #require(tree(text)).json))
    }

    @Test("what the tool accepts of random files, the schema accepts", arguments: 1..<200 as Range<UInt64>)
    func random(_ seed: UInt64) throws {
        let text = RandomTopology.text(seed: seed)
        _ = try TopologyDocument.read(text, file: "seed-\(seed)")
        #expect(try schema.accepts(try #require(tree(text)).json), "seed \(seed)")
    }

    @Test("keys, kinds and choices that the checks refuse, the schema refuses; what they pass, it passes")
    func refused() throws {
        var told = 0
        for document in BadDocument.all {
            guard let tree = tree(document.text) else { continue }
            var checker = ShapeChecker()
            checker.check(tree, .topology)
            let rules = Set(checker.problems.map(\.rule))
            let isAccepted = try schema.accepts(tree.json)
            if rules.isEmpty { #expect(isAccepted, "\(document.name): the schema is stricter") }
            if !rules.isDisjoint(with: [.unknownKey, .missingKey, .wrongType]) {
                #expect(!isAccepted, "\(document.name): the schema is looser")
                told += 1
            }
        }
        #expect(told >= 20)
    }
}

extension DocumentNode {
    /// As an editor sees it.
    fileprivate var json: JSONValue {
        switch content {
        case .mapping(let members):
            .object(Dictionary(members.map { ($0.key, $0.value.json) }, uniquingKeysWith: { first, _ in first }))
        case .sequence(let items): .array(items.map(\.json))
        case .scalar(let text, _):
            switch kind {
            case .null: .null
            case .integer: integer.map { .integer(Int64($0)) } ?? .string(text)
            case .number: .number(Double(text) ?? 0)
            case .boolean: .bool(boolean ?? false)
            case .text, .mapping, .sequence: .string(text)
            }
        }
    }
}

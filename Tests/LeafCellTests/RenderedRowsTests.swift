import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives
import Testing

@Suite struct RenderedRowsTests {
    private let rows: [GetRequest.Reply.Row] = [
        .init(id: ServerID(UUID()), version: .max, rendered: Data(#"{"id":1}"#.utf8)),
        .init(id: ServerID(UUID()), version: 1, rendered: Data()),
        .init(id: ServerID(UUID()), version: -2, rendered: Data(repeating: 0x20, count: 70_000)),
    ]

    private let missing = [ServerID(UUID()), ServerID(UUID())]

    @Test func comeBackAsTheyWent() throws {
        var reply = GetRequest.Reply(rows: rows)
        reply.unreachable = missing
        let back = try GetRequest.decode(GetRequest.encode(reply))
        #expect(back.rows.map(\.id) == rows.map(\.id))
        #expect(back.rows.map(\.version) == rows.map(\.version))
        #expect(back.rows.map(\.rendered) == rows.map(\.rendered))
        #expect(back.unreachable == missing)
        let none = try GetRequest.decode(GetRequest.encode(.init(rows: [])))
        #expect(none.rows.isEmpty && none.unreachable == nil)
    }

    @Test func areRefusedWhenCutOff() {
        var reply = GetRequest.Reply(rows: [])
        reply.unreachable = missing
        // A cut between two rows leaves fewer, which the asker sees.
        let boundaries = (0...2).map { count in
            reply.rows = Array(rows.prefix(count))
            return GetRequest.encode(reply).count
        }
        let whole = GetRequest.encode(reply)
        for length in 0..<whole.count where !boundaries.contains(length) {
            #expect(throws: CellFailure.self, "\(length) bytes") { try GetRequest.decode(whole.prefix(length)) }
        }
        #expect(throws: CellFailure.self) { try GetRequest.decode(Data(#"{"rows":[]}"#.utf8)) }
        #expect(throws: CellFailure.self) { try GetRequest.decode(Data([1, 255, 255, 255, 255])) }
    }
}

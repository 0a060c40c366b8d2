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

    @Test func comeBackAsTheyWent() throws {
        let back = try GetRequest.decode(GetRequest.encode(.init(rows: rows))).rows
        #expect(back.map(\.id) == rows.map(\.id))
        #expect(back.map(\.version) == rows.map(\.version))
        #expect(back.map(\.rendered) == rows.map(\.rendered))
        #expect(try RenderedRows.decode(RenderedRows.encode([])).isEmpty)
    }

    @Test func areRefusedWhenCutOff() {
        let whole = RenderedRows.encode(Array(rows.prefix(2)))
        // A cut between two rows leaves fewer, which the asker sees.
        let boundary = RenderedRows.encode(Array(rows.prefix(1))).count
        for length in 0..<whole.count where length != 1 && length != boundary {
            #expect(throws: CellFailure.self, "\(length) bytes") { try RenderedRows.decode(whole.prefix(length)) }
        }
        #expect(throws: CellFailure.self) { try RenderedRows.decode(Data(#"{"rows":[]}"#.utf8)) }
    }
}

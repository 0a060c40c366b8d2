import CloudModel
package import FoundationEssentials
package import Primitives

// A parent reads every event below it, and a branch writes each again: what is frequent reads and writes itself, which a
// coder takes ten times as long for.

extension SequencedEvent: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var cell: CellPath?
        var sequence: Int64?
        var event: CellEvent?
        var origin: CellPath?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "cell": cell = try reader.named { CellPath($0) }
            case "sequence": sequence = try reader.integer()
            case "event": event = try CellEvent(&reader)
            case "origin":
                origin = try reader.optional { reader throws(JSONSyntaxError) in try reader.named { CellPath($0) } }
            default: try reader.skip()
            }
        }
        guard let cell, let sequence, let event else { throw reader.error("an event without all its members") }
        self.init(cell: cell, sequence: sequence, event: event, origin: origin)
    }
}

extension CellEvent: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var event: CellEvent?
        try reader.object { (name, reader) throws(JSONSyntaxError) in
            switch name {
            case "instanceChanged": event = .instanceChanged(try reader.payload())
            case "hostChanged": event = .hostChanged(try reader.payload())
            case "cellChanged": event = .cellChanged(try reader.payload())
            default:
                let name = try reader.text(of: name)
                let document = Data("{\"\(name)\":".utf8) + Data(try reader.raw()) + Data("}".utf8)
                do {
                    event = try JSONDecoder().decode(CellEvent.self, from: document)
                } catch {
                    throw reader.error("an event \(name.prefix(64)) that can't be read")
                }
            }
        }
        guard let event else { throw reader.error("no event") }
        self = event
    }

    /// The JSON that the `Codable` form reads.
    package func text() throws -> Data {
        switch self {
        case .instanceChanged(let summary): Self.text("instanceChanged", summary)
        case .hostChanged(let host): Self.text("hostChanged", host)
        case .cellChanged(let standing): Self.text("cellChanged", standing)
        case .buildFailed, .instanceDeleted, .cellRemoved: try JSONEncoder().encode(self)
        }
    }

    private static func text(_ name: String, _ payload: some JSONWritable) -> Data {
        var writer = JSONWriter()
        writer.object { $0.object(name) { $0.field("_0", payload) } }
        return Data(writer.bytes)
    }
}

extension JSONReader {
    /// The one value of a case.
    fileprivate mutating func payload<Value: JSONReadable>() throws(JSONSyntaxError) -> Value {
        var value: Value?
        try object { (key, reader) throws(JSONSyntaxError) in
            if key.is("_0") { value = try Value(&reader) } else { try reader.skip() }
        }
        guard let value else { throw error("an event without its value") }
        return value
    }
}

extension EventsRequest.Reply: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var events: [SequencedEvent]?
        var newest: Int64?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "events": events = try reader.values()
            case "newest": newest = try reader.integer()
            default: try reader.skip()
            }
        }
        guard let events, let newest else { throw reader.error("a reply without all its members") }
        self.init(events: events, newest: newest)
    }
}

extension EventsRequest {
    package static func decode(_ body: Data) throws -> Reply { try Reply(json: Array(body)) }
}

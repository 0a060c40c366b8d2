package import CloudModel
package import FoundationEssentials
import Primitives

/// An event as its cell keeps it, in the text that goes out: a cell that tells of many reads and writes none of them anew.
package struct EncodedEvent: Sendable, Equatable {
    package var sequence: Int64
    /// A ``CellEvent`` as JSON.
    package var text: Data
    /// See ``SequencedEvent/origin``.
    package var origin: CellPath?

    package init(sequence: Int64, text: Data, origin: CellPath? = nil) {
        self.sequence = sequence
        self.text = text
        self.origin = origin
    }

    package init(_ event: SequencedEvent) throws {
        self.init(sequence: event.sequence, text: try event.event.text(), origin: event.origin)
    }

    /// As `cell` tells it.
    /// - Throws: `JSONSyntaxError` for an event of a later version.
    package func decoded(of cell: CellPath) throws -> SequencedEvent {
        SequencedEvent(cell: cell, sequence: sequence, event: try CellEvent(json: Array(text)), origin: origin)
    }
}

extension EventsRequest.Reply {
    /// The JSON of a reply of `cell`.
    package static func text(_ events: [EncodedEvent], of cell: CellPath, newest: Int64) -> Data {
        var writer = JSONWriter(capacity: events.reduce(64) { $0 + $1.text.count + 128 })
        writer.object { writer in
            writer.array("events") { writer in
                for event in events {
                    writer.object { writer in
                        writer.field("cell", cell.description)
                        writer.field("sequence", Int(event.sequence))
                        writer.raw("event", event.text)
                        if let origin = event.origin { writer.field("origin", origin.description) }
                    }
                }
            }
            writer.field("newest", Int(newest))
        }
        return Data(writer.bytes)
    }
}

import FoundationEssentials
import Synchronization

/// Writes events to a sink a line at a time: plain text for people and logs, or a JSON object a line for programs.
package final class LineReporter: ProgressReporter {
    package enum Style: Sendable {
        case text
        case json
    }

    private let style: Style
    private let write: @Sendable (String) -> Void
    private let order = Mutex(())

    /// `write` gets whole lines without their line feed, one call at a time.
    package init(style: Style, write: @escaping @Sendable (String) -> Void) {
        self.style = style
        self.write = write
    }

    package func report(_ event: ProgressEvent) {
        // Of a plan's steps people want to know how they ended; programs get all.
        if style == .text, [.planned, .begun].contains(event.kind) { return }
        let line =
            switch style {
            case .text: Self.text(event)
            case .json: Self.json(event)
            }
        order.withLock { _ in write(line) }
    }

    /// `  ok  north-1  write /etc/cellwright/compute.json (0.1 s)`
    package static func text(_ event: ProgressEvent) -> String {
        let place = [event.host, event.cell].compactMap { $0 }.joined(separator: " ")
        let prefix = place.isEmpty ? "" : "\(place): "
        let duration = event.seconds.map { " (\(seconds($0)))" } ?? ""
        let detail = event.detail.map { ": \($0)" } ?? ""
        return switch event.kind {
        case .stage: "== \(prefix)\(event.title)"
        case .planned, .begun, .started: "  ..  \(prefix)\(event.title)"
        case .done: "  ok  \(prefix)\(event.title)\(duration)\(detail)"
        case .failed: "  FAILED  \(prefix)\(event.title)\(duration)\(detail)"
        case .skipped: "  --  \(prefix)\(event.title)\(detail)"
        case .note: "      \(prefix)\(event.title)\(detail)"
        }
    }

    static func json(_ event: ProgressEvent) -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        do {
            return String(decoding: try encoder.encode(event), as: UTF8.self)
        } catch {
            // Strings and a finite number always encode.
            preconditionFailure("a progress event could not be encoded: \(error)")
        }
    }

    private static func seconds(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10) s"
    }
}

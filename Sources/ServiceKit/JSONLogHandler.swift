import FoundationEssentials
package import Logging

#if canImport(Glibc)
    import Glibc
#endif

/// One JSON object a line on standard error: time, level, logger, message, then metadata with its dotted keys.
package struct JSONLogHandler: LogHandler {
    package var logLevel: Logger.Level = .info
    package var metadata: Logger.Metadata = [:]
    private let label: String
    private let fixed: Logger.Metadata

    /// - Parameter fixed: what every line of this process carries, such as `cell` and `service`.
    package init(label: String, fixed: Logger.Metadata) {
        self.label = label
        self.fixed = fixed
    }

    package subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    package func log(event: LogEvent) {
        var line = #"{"time":"\#(Self.timestamp())","level":"\#(event.level.rawValue)","logger":"#
        Self.append(label, to: &line)
        line += #","message":"#
        Self.append(event.message.description, to: &line)
        var all = fixed.merging(metadata) { _, new in new }
        if let own = event.metadata { all.merge(own) { _, new in new } }
        if let error = event.error, all["error"] == nil { all["error"] = .string(String(describing: error)) }
        for key in all.keys.sorted() {
            guard let value = all[key] else { continue }
            line += ","
            Self.append(key, to: &line)
            line += ":"
            Self.append(value.description, to: &line)
        }
        line += "}\n"
        // One write a line, so that lines of several threads do not mix.
        line.withUTF8 { buffer in _ = write(STDERR_FILENO, buffer.baseAddress, buffer.count) }
    }

    private static func timestamp() -> String {
        Date().formatted(
            .iso8601.year().month().day().time(includingFractionalSeconds: true).timeZone(separator: .omitted))
    }

    private static func append(_ text: String, to line: inout String) {
        line.append("\"")
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": line += "\\\""
            case "\\": line += "\\\\"
            case "\n": line += "\\n"
            case "\r": line += "\\r"
            case "\t": line += "\\t"
            case _ where scalar.value < 0x20:
                let hex = String(scalar.value, radix: 16)
                line += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
            default: line.unicodeScalars.append(scalar)
            }
        }
        line.append("\"")
    }
}

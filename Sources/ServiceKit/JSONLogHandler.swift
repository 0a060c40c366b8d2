import FoundationEssentials
package import Logging
import Primitives

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
        let line = line(event, at: Date())
        // One write a line, so that lines of several threads do not mix.
        line.withUnsafeBytes { buffer in _ = write(STDERR_FILENO, buffer.baseAddress, buffer.count) }
    }

    func line(_ event: LogEvent, at time: Date) -> [UInt8] {
        var all = fixed.merging(metadata) { _, new in new }
        if let own = event.metadata { all.merge(own) { _, new in new } }
        if let error = event.error, all["error"] == nil { all["error"] = .string(String(describing: error)) }
        var writer = JSONWriter()
        writer.object { writer in
            writer.field("time", Timestamp.microseconds(time))
            writer.field("level", event.level.rawValue)
            writer.field("logger", label)
            writer.field("message", event.message.description)
            for (key, value) in all.sorted(by: { $0.key < $1.key }) { writer.field(key, value.description) }
        }
        return writer.bytes + [UInt8(ascii: "\n")]
    }
}

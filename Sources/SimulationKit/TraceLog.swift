import Logging
import Synchronization

/// What the services of a run said, with the run's own time: only kept when somebody wants to read it.
final class TraceLog: Sendable {
    /// The newest lines are kept.
    private static let limit = 20_000

    private let lines = Mutex<[String]>([])
    private let executor: SeededExecutor
    private let isWanted: Bool

    init(_ executor: SeededExecutor, isWanted: Bool) {
        self.executor = executor
        self.isWanted = isWanted
    }

    var all: [String] { lines.withLock { $0 } }

    func add(_ text: @autoclosure () -> String) {
        guard isWanted else { return }
        let seconds = executor.now / .seconds(1)
        let time = String((seconds * 1000).rounded() / 1000)
        let line = "\(String(repeating: " ", count: max(0, 9 - time.count)))\(time)  \(text())"
        lines.withLock { lines in
            lines.append(line)
            if lines.count > Self.limit { lines.removeFirst(Self.limit / 10) }
        }
    }

    func logger(_ process: String) -> Logger {
        var logger = Logger(label: process) { _ in TraceHandler(log: self, process: process) }
        logger.logLevel = isWanted ? .debug : .critical
        return logger
    }
}

private struct TraceHandler: LogHandler {
    let log: TraceLog
    let process: String
    var metadata: Logger.Metadata = [:]
    var logLevel = Logger.Level.critical

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let all = metadata.merging(event.metadata ?? [:]) { $1 }
        let text = all.sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }.joined(separator: " ")
        log.add("\(process): \(event.message) \(text)")
    }
}

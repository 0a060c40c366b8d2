import FoundationEssentials

/// What was measured, by name. A name ends with its unit.
struct Figures: Sendable {
    struct Report: Encodable {
        struct Figure: Encodable {
            let value: Double
            let limit: Double?
            let isWithin: Bool
        }
        let figures: [String: Figure]
        let processors: Int
        let loadAverage: String
    }

    private(set) var values: [String: Double] = [:]
    private var order: [String] = []

    mutating func add(_ name: String, _ value: Double) {
        if values.updateValue(value, forKey: name) == nil { order.append(name) }
    }

    mutating func add(_ other: Figures) {
        for name in other.order { if let value = other.values[name] { add(name, value) } }
    }

    /// Names of those that are past their threshold.
    func exceeded(_ limits: [String: Double]) -> [String] {
        order.filter { name in
            guard let value = values[name], let limit = limits[name] else { return false }
            return value > limit
        }
    }

    func table(_ limits: [String: Double]) -> String {
        let past = Set(exceeded(limits))
        let width = order.map(\.count).max() ?? 0
        return order.map { name in
            let value = values[name] ?? 0
            let limit =
                limits[name].map { "  at most \(Self.text($0))\(past.contains(name) ? ": EXCEEDED" : "")" } ?? ""
            let left = name + String(repeating: " ", count: width - name.count)
            let number = Self.text(value)
            return "\(left)  \(String(repeating: " ", count: max(0, 10 - number.count)))\(number)\(limit)"
        }.joined(separator: "\n")
    }

    func report(_ limits: [String: Double]) -> Report {
        let past = Set(exceeded(limits))
        let load = FileManager.default.contents(atPath: "/proc/loadavg") ?? Data()
        return Report(
            figures: values.reduce(into: [:]) { figures, entry in
                figures[entry.key] = .init(
                    value: entry.value, limit: limits[entry.key], isWithin: !past.contains(entry.key))
            },
            processors: ProcessInfo.processInfo.activeProcessorCount,
            loadAverage: String(decoding: load.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self))
    }

    private static func text(_ value: Double) -> String {
        let scaled = (value * 1000).rounded() / 1000
        return scaled == scaled.rounded() ? String(Int(scaled)) : "\(scaled)"
    }
}

/// Durations of repeated work.
struct Samples: Sendable {
    private var seconds: [Double] = []

    mutating func measure<Result>(_ body: () async throws -> Result) async rethrows -> Result {
        let start = ContinuousClock.now
        let result = try await body()
        add(ContinuousClock.now - start)
        return result
    }

    mutating func add(_ duration: Duration) { seconds.append(duration / .seconds(1)) }

    mutating func add(_ other: Samples) { seconds += other.seconds }

    /// Milliseconds that `part` of the samples stayed within.
    func milliseconds(_ part: Double) -> Double {
        guard !seconds.isEmpty else { return 0 }
        let index = Int((Double(seconds.count - 1) * part).rounded())
        return seconds.sorted()[index] * 1000
    }
}

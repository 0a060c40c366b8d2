package import CoreMetrics
import Synchronization

/// Counters, gauges and timers of this process as Prometheus text (exposition format 0.0.4).
///
/// Dimensions become labels. Timers and recorders become summaries without quantiles: `_count` and `_sum`, timers in
/// seconds. Bound: ``seriesLimit`` series; what comes after is counted in `cellwright_metrics_dropped_total`.
package final class PrometheusRegistry: MetricsFactory {
    package static let seriesLimit = 5000

    fileprivate struct Key: Hashable, Comparable {
        let name: String
        let labels: String
        static func < (left: Key, right: Key) -> Bool { (left.name, left.labels) < (right.name, right.labels) }
    }

    fileprivate enum Value {
        case counter(Double)
        case gauge(Double)
        case summary(count: Int, sum: Double)
    }

    private struct State {
        var series: [Key: Value] = [:]
        var dropped = 0
    }

    private let state = Mutex(State())

    package init() {}

    package func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        CounterSeries(registry: self, key: register(label + "_total", dimensions, .counter(0)))
    }

    package func makeFloatingPointCounter(label: String, dimensions: [(String, String)])
        -> any FloatingPointCounterHandler
    {
        CounterSeries(registry: self, key: register(label + "_total", dimensions, .counter(0)))
    }

    package func makeRecorder(
        label: String, dimensions: [(String, String)], aggregate: Bool
    ) -> any RecorderHandler {
        aggregate
            ? SummarySeries(registry: self, key: register(label, dimensions, .summary(count: 0, sum: 0)), scale: 1)
            : GaugeSeries(registry: self, key: register(label, dimensions, .gauge(0)))
    }

    package func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        GaugeSeries(registry: self, key: register(label, dimensions, .gauge(0)))
    }

    package func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        SummarySeries(
            registry: self, key: register(label + "_seconds", dimensions, .summary(count: 0, sum: 0)), scale: 1e-9)
    }

    package func destroyCounter(_: any CounterHandler) {}
    package func destroyFloatingPointCounter(_: any FloatingPointCounterHandler) {}
    package func destroyRecorder(_: any RecorderHandler) {}
    package func destroyMeter(_: any MeterHandler) {}
    package func destroyTimer(_: any TimerHandler) {}

    /// The text that `/metrics` answers.
    package func render() -> String {
        let (series, dropped) = state.withLock { ($0.series, $0.dropped) }
        var text = ""
        var family = ""
        for (key, value) in series.sorted(by: { $0.key < $1.key }) {
            if key.name != family {
                family = key.name
                text += "# TYPE \(family) \(value.typeName)\n"
            }
            switch value {
            case .counter(let amount), .gauge(let amount): text += "\(key.name)\(key.labels) \(amount)\n"
            case .summary(let count, let sum):
                text += "\(key.name)_count\(key.labels) \(count)\n\(key.name)_sum\(key.labels) \(sum)\n"
            }
        }
        text += "# TYPE cellwright_metrics_dropped_total counter\ncellwright_metrics_dropped_total \(dropped)\n"
        return text
    }

    private func register(_ label: String, _ dimensions: [(String, String)], _ initial: Value) -> Key? {
        let name = String(label.map { $0.isASCII && ($0.isLetter || $0.isNumber || $0 == "_") ? $0 : "_" })
        let labels = dimensions.map { "\($0.0)=\"\(Self.escape($0.1))\"" }.joined(separator: ",")
        let key = Key(name: name, labels: labels.isEmpty ? "" : "{\(labels)}")
        return state.withLock { state in
            if state.series[key] != nil { return key }
            guard state.series.count < Self.seriesLimit else {
                state.dropped += 1
                return nil
            }
            state.series[key] = initial
            return key
        }
    }

    private static func escape(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }

    fileprivate func update(_ key: Key?, _ change: (inout Value) -> Void) {
        guard let key else { return }
        state.withLock { state in
            guard var value = state.series[key] else { return }
            change(&value)
            state.series[key] = value
        }
    }
}

extension PrometheusRegistry.Value {
    fileprivate var typeName: String {
        switch self {
        case .counter: "counter"
        case .gauge: "gauge"
        case .summary: "summary"
        }
    }
}

private final class CounterSeries: CounterHandler, FloatingPointCounterHandler {
    private let registry: PrometheusRegistry
    private let key: PrometheusRegistry.Key?

    init(registry: PrometheusRegistry, key: PrometheusRegistry.Key?) {
        self.registry = registry
        self.key = key
    }

    func increment(by amount: Int64) { increment(by: Double(amount)) }

    func increment(by amount: Double) {
        registry.update(key) { value in
            if case .counter(let old) = value { value = .counter(old + amount) }
        }
    }

    func reset() { registry.update(key) { $0 = .counter(0) } }
}

private final class GaugeSeries: RecorderHandler, MeterHandler {
    private let registry: PrometheusRegistry
    private let key: PrometheusRegistry.Key?

    init(registry: PrometheusRegistry, key: PrometheusRegistry.Key?) {
        self.registry = registry
        self.key = key
    }

    func record(_ amount: Int64) { set(Double(amount)) }
    func record(_ amount: Double) { set(amount) }
    func set(_ amount: Int64) { set(Double(amount)) }
    func set(_ amount: Double) { registry.update(key) { $0 = .gauge(amount) } }
    func increment(by amount: Double) { add(amount) }
    func decrement(by amount: Double) { add(-amount) }

    private func add(_ amount: Double) {
        registry.update(key) { value in
            if case .gauge(let old) = value { value = .gauge(old + amount) }
        }
    }
}

private final class SummarySeries: RecorderHandler, TimerHandler {
    private let registry: PrometheusRegistry
    private let key: PrometheusRegistry.Key?
    private let scale: Double

    init(registry: PrometheusRegistry, key: PrometheusRegistry.Key?, scale: Double) {
        self.registry = registry
        self.key = key
        self.scale = scale
    }

    func record(_ amount: Int64) { record(Double(amount)) }
    func recordNanoseconds(_ duration: Int64) { record(Double(duration)) }

    func record(_ amount: Double) {
        registry.update(key) { value in
            if case .summary(let count, let sum) = value {
                value = .summary(count: count + 1, sum: sum + amount * scale)
            }
        }
    }
}

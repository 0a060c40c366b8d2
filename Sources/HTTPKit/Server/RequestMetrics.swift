import HTTPTypes
import Metrics
import Synchronization

/// Requests and their duration by service, method and status, as `cellwright_http_requests` and
/// `cellwright_http_request_duration`. Metric objects are made once a combination: making one costs more than counting.
final class RequestMetrics: Sendable {
    private struct Key: Hashable {
        let service: String
        let method: String
        let status: Int
    }

    private let series = Mutex<[Key: (counter: Counter, timer: Timer)]>([:])

    func record(service: String, method: HTTPRequest.Method, status: HTTPResponse.Status, duration: Duration) {
        let known: [HTTPRequest.Method] = [.get, .head, .post, .put, .patch, .delete]
        let name = known.contains(method) ? method.rawValue : "other"
        let key = Key(service: service, method: name, status: status.code)
        let (counter, timer) = series.withLock { series in
            if let found = series[key] { return found }
            let dimensions = [("service", key.service), ("method", key.method), ("status", String(key.status))]
            let made = (
                counter: Counter(label: "cellwright_http_requests", dimensions: dimensions),
                timer: Timer(label: "cellwright_http_request_duration", dimensions: Array(dimensions.prefix(2)))
            )
            series[key] = made
            return made
        }
        counter.increment()
        timer.recordNanoseconds(Int64(duration / .nanoseconds(1)))
    }
}

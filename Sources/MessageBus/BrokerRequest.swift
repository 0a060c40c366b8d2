package import FoundationEssentials
package import Primitives

/// One request of the broker's management HTTP API, as a value: whoever has an HTTP client sends it.
///
/// Paths are relative to the API's root (`http://host:15672/api/`) and already percent-encoded.
package struct BrokerRequest: Sendable, Equatable, CustomStringConvertible {
    package enum Method: String, Sendable { case get = "GET", put = "PUT", post = "POST", delete = "DELETE" }

    package let method: Method
    package let path: String
    package let body: JSONValue?
    /// Statuses that mean it is as wanted; 404 is among those of a deletion, because the thing is gone then too.
    package var expectedStatuses: Set<Int>

    /// The body as it is sent, `nil` when there is none. It may hold a password's hash: don't log it.
    package func bodyData() throws -> Data? {
        guard let body else { return nil }
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        return try encoder.encode(body)
    }

    package var description: String { "\(method.rawValue) \(path)" }

    /// - Parameter segments: the path's parts, not yet encoded.
    package init(_ method: Method, _ segments: [String], body: JSONValue? = nil) {
        self.method = method
        self.path = segments.map(Self.percentEncoded).joined(separator: "/")
        self.body = body
        self.expectedStatuses =
            switch method {
            case .get: [200]
            case .put, .post: [200, 201, 204]
            case .delete: [200, 204, 404]
            }
    }

    private static func percentEncoded(_ segment: String) -> String {
        let digits = Array("0123456789ABCDEF")
        var result = ""
        for byte in segment.utf8 {
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
                UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"), UInt8(ascii: "."),
                UInt8(ascii: "~"):
                result.unicodeScalars.append(Unicode.Scalar(byte))
            default:
                result += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
        return result
    }
}

import FoundationEssentials
package import HTTPTypes
package import Hummingbird
package import NIOCore
package import Primitives

extension Response {
    /// A response with `value` as its JSON body.
    package static func json(
        _ value: JSONValue, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]
    ) -> Response {
        var bytes: [UInt8] = []
        value.write(to: &bytes)
        return json(bytes: ByteBuffer(bytes: bytes), status: status, headers: headers)
    }

    /// A response whose JSON text was written elsewhere.
    package static func json(
        bytes: ByteBuffer, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]
    ) -> Response {
        var headers = headers
        if headers[.contentType] == nil { headers[.contentType] = "application/json" }
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: bytes))
    }

    /// A response with `value` encoded as JSON: dates as ISO 8601 in UTC, slashes as they are.
    /// - Throws: what `value` throws when it is encoded.
    package static func json(
        encoding value: some Encodable, status: HTTPResponse.Status = .ok, headers: HTTPFields = [:]
    ) throws -> Response {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes, .sortedKeys]
        encoder.dateEncodingStrategy = .iso8601
        return json(bytes: ByteBuffer(bytes: try encoder.encode(value)), status: status, headers: headers)
    }

    /// A response without a body.
    package static func empty(_ status: HTTPResponse.Status = .noContent, headers: HTTPFields = [:]) -> Response {
        Response(status: status, headers: headers)
    }
}

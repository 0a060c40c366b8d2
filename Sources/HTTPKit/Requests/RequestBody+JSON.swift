import HTTPTypes
package import Hummingbird
import NIOCore
package import Primitives

extension APIContext {
    /// The request's body as JSON.
    /// - Throws: 413 past the limit, 415 for another media type, 400 for what is no JSON.
    package func json(
        _ request: Request, mediaTypes: [String] = ["application/json"]
    ) async throws -> JSONValue {
        if let type = request.headers[.contentType] {
            let essence = type.split(separator: ";", maxSplits: 1)[safe: 0]?.trimmed.lowercased() ?? ""
            guard mediaTypes.contains(essence) else { throw APIFault.unsupportedMediaType(type) }
        }
        if let length = request.headers[.contentLength].flatMap(Int.init), length > bodyLimit {
            throw APIFault.tooLarge(limit: bodyLimit)
        }
        let buffer: ByteBuffer
        do {
            buffer = try await request.body.collect(upTo: bodyLimit)
        } catch is NIOTooManyBytesError {
            throw APIFault.tooLarge(limit: bodyLimit)
        }
        guard buffer.readableBytes > 0 else { throw APIFault.badRequest("The request has no body.") }
        let value: JSONValue
        do {
            value = try JSONParser.parse(Array(buffer.readableBytesView))
        } catch {
            throw APIFault.badRequest("The request body is not valid JSON: \(error).")
        }
        // PostgreSQL's text can't hold it, and nobody needs it.
        guard !value.holdsNUL else { throw APIFault.badRequest("The request body holds a NUL character.") }
        return value
    }

    /// The member `key` of the request's body, which must be an object with nothing beside it.
    package func jsonObject(_ request: Request, key: String) async throws -> JSONObjectReader {
        var outer = try JSONObjectReader(try await json(request), path: "body")
        let inner = try outer.requiredObject(key)
        try outer.finish()
        return inner.renamed(key)
    }

    /// The request's body, which must be an object.
    package func jsonObject(_ request: Request) async throws -> JSONObjectReader {
        try JSONObjectReader(try await json(request), path: "body")
    }
}

extension JSONValue {
    /// Whether some text in it, keys included, has the character U+0000.
    fileprivate var holdsNUL: Bool {
        switch self {
        case .null, .bool, .integer, .number: false
        case .string(let text): text.utf8.contains(0)
        case .array(let values): values.contains(where: \.holdsNUL)
        case .object(let members): members.contains { $0.key.utf8.contains(0) || $0.value.holdsNUL }
        }
    }
}

extension Array {
    fileprivate subscript(safe index: Int) -> Element? { indices.contains(index) ? self[index] : nil }
}

extension Substring {
    fileprivate var trimmed: String {
        var slice = self
        while slice.first == " " { slice = slice.dropFirst() }
        while slice.last == " " { slice = slice.dropLast() }
        return String(slice)
    }
}

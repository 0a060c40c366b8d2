import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Hummingbird
import ImageInspector
import Logging
import NIOCore
import Primitives

extension ImageService {
    /// Bytes that are read or written at once.
    private static let pieceBytes = 256 << 10
    /// An upload that says nothing for this long is given up by everybody.
    private static let leaseSeconds = 120.0
    private static let renewalSeconds = 20.0

    // MARK: in

    func upload(_ request: Request, _ context: APIContext) async throws -> Response {
        let image = try await ownImage(context)
        let type = request.headers[.contentType] ?? ""
        guard type == "application/octet-stream" else { throw APIFault.unsupportedMediaType(type) }
        guard image.containerFormat != nil, let format = image.diskFormat.flatMap({ DiskFormat(rawValue: $0) }) else {
            throw APIFault.badRequest("Properties disk_format, container_format must be set prior to saving data.")
        }
        let length = request.headers[.contentLength].flatMap { Int64($0) }
        if let length, length > configuration.sizeLimit {
            throw APIFault.tooLarge(limit: Int(configuration.sizeLimit))
        }
        let upload = ImageUpload(imageID: image.id, uploadID: ids.uuid())
        let now = clock.now()
        guard try await repository.begin(upload, now: now, leaseUntil: now + Self.leaseSeconds) else {
            throw APIFault.conflict("Image status transition from \(image.status.rawValue) to saving is not allowed.")
        }
        do {
            try await receive(request.body, length: length, as: format, upload, context.logger)
        } catch {
            // If this fails too, or the process ends here, the lease runs out and the janitor puts the image back.
            do {
                try await repository.abort(upload, now: clock.now())
            } catch {
                context.logger.warning("can't put an image back to queued", metadata: ["error": "\(ErrorChain(error))"])
            }
            throw error
        }
        return .empty()
    }

    private func receive(
        _ body: RequestBody, length: Int64?, as format: DiskFormat, _ upload: ImageUpload, _ logger: Logger
    ) async throws {
        let file = try await store.create(upload, format: format, limit: configuration.sizeLimit)
        do {
            let received = try await copy(body, to: file, upload)
            // A connection that breaks can look like an end.
            guard length == nil || length == received else {
                throw APIFault.badRequest("The upload ended before all of its data had come.")
            }
            let content = try await file.finish()
            guard try await repository.finish(upload, content: content, now: clock.now()) else {
                throw APIFault.conflict("The image was deleted or uploaded again meanwhile.")
            }
        } catch {
            do {
                try await file.discard()
            } catch let failure {
                logger.warning("can't remove a failed upload", metadata: ["error": "\(ErrorChain(failure))"])
            }
            throw error
        }
    }

    /// Gathers small pieces, so that a thread is not asked for with every packet.
    private func copy(_ body: RequestBody, to file: IncomingImage, _ upload: ImageUpload) async throws -> Int64 {
        var received: Int64 = 0
        var pending = ByteBuffer()
        var renewal = clock.now() + Self.renewalSeconds
        for try await piece in body {
            received += Int64(piece.readableBytes)
            pending.writeImmutableBuffer(piece)
            guard pending.readableBytes >= Self.pieceBytes else { continue }
            try await file.append(pending)
            pending.clear()
            let now = clock.now()
            guard now >= renewal else { continue }
            renewal = now + Self.renewalSeconds
            guard try await repository.renew(upload, leaseUntil: now + Self.leaseSeconds) else {
                throw APIFault.conflict("The image was deleted or uploaded again meanwhile.")
            }
        }
        if pending.readableBytes > 0 { try await file.append(pending) }
        return received
    }

    // MARK: out

    func download(_ request: Request, _ context: APIContext) async throws -> Response {
        let image = try await downloadable(context)
        guard image.status != .deactivated else {
            throw APIFault.forbidden("The requested image has been deactivated. Image data download is forbidden.")
        }
        guard let content = image.content else { return .empty() }
        let file = try await store.open(content.file)
        var headers: HTTPFields = [.contentType: "application/octet-stream", .acceptRanges: "bytes"]
        guard let range = try ByteRange(request.headers[.range], size: content.sizeBytes) else {
            headers[HTTPField.Name(fixed: "Content-MD5")] = content.md5
            return Response(status: .ok, headers: headers, body: Self.body(file, 0..<content.sizeBytes))
        }
        headers[.contentRange] = "bytes \(range.bytes.lowerBound)-\(range.bytes.upperBound - 1)/\(content.sizeBytes)"
        return Response(status: .partialContent, headers: headers, body: Self.body(file, range.bytes))
    }

    /// A ticket was for this image, a token is for those who may see it.
    private func downloadable(_ context: APIContext) async throws -> Image {
        guard context.auth == nil else { return try await visibleImage(context) }
        let text = context.parameter("image")
        guard let id = ImageID(text), let image = try await repository.image(id) else { throw Self.noImage(text) }
        return image
    }

    private static func body(_ file: StoredImageFile, _ range: Range<Int64>) -> ResponseBody {
        ResponseBody(contentLength: Int(range.count)) { writer in
            var offset = range.lowerBound
            while offset < range.upperBound {
                let count = Int(min(Int64(pieceBytes), range.upperBound - offset))
                let piece = try await file.read(at: offset, count: count)
                guard piece.readableBytes > 0 else { throw ShortFile() }
                offset += Int64(piece.readableBytes)
                try await writer.write(piece)
            }
            try await writer.finish(nil)
        }
    }

    /// The file has fewer bytes than the catalog says: the connection is cut, so that nobody takes it for the whole.
    private struct ShortFile: Error {}
}

/// One range of bytes that a client wants (RFC 9110 §14).
struct ByteRange {
    let bytes: Range<Int64>

    /// Nil for no header, and for what is to be ignored: other units, several ranges.
    /// - Throws: a 416 for a range that begins behind the end.
    init?(_ header: String?, size: Int64) throws(APIFault) {
        guard let header, header.hasPrefix("bytes="), !header.contains(",") else { return nil }
        let parts = header.dropFirst(6).split(separator: "-", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2 else { return nil }
        let (first, last) = (Int64(parts[0]), Int64(parts[1]))
        switch (first, last) {
        case (let first?, let last?) where first <= last && first < size: bytes = first..<min(last + 1, size)
        case (let first?, nil) where parts[1].isEmpty && first < size && first >= 0: bytes = first..<size
        case (nil, let last?) where parts[0].isEmpty && last > 0 && size > 0: bytes = max(0, size - last)..<size
        case (let first?, _) where first >= size: throw Self.outside(size)
        case (nil, .some(0)): throw Self.outside(size)
        default: return nil
        }
    }

    private static func outside(_ size: Int64) -> APIFault {
        APIFault(.rangeNotSatisfiable, "The image has \(size) bytes.", headers: [.contentRange: "bytes */\(size)"])
    }
}

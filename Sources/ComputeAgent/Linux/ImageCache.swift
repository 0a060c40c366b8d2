import AsyncHTTPClient
package import CellProtocol
package import CloudModel
import Crypto
import FoundationEssentials
import ImageInspector
package import NIOCore
import NIOHTTP1
import NIOSSL
import Primitives
import SystemPackage
import _NIOFileSystem

/// Images of this host: each fetched once, verified by its SHA-512, inspected again, and kept read-only for all guests.
package struct ImageCache: Sendable {
    /// Images that are fetched at once.
    package static let fetchLimit = 2
    /// Time for one whole image.
    package static let fetchTimeLimit: TimeAmount = .minutes(30)
    /// Bytes written to disk at a time.
    static let chunkLimit = 1024 * 1024

    private let directory: String
    /// The image service: `http://10.77.0.2:8774/image`.
    private let imageURL: String
    /// File with further places of it, a line each, tried when the first does not have an image; it need not exist.
    private let replicasFile: String?
    /// Path of the certificates by which it is verified; `nil` for the system's own.
    private let authority: String?
    private let turns = InstanceQueues()
    private let fetches = Bulkhead(name: "image fetches", limit: Self.fetchLimit, waiting: 10_000)

    package init(directory: String, imageURL: String, replicasFile: String? = nil, authority: String? = nil) {
        self.directory = directory
        self.imageURL = imageURL
        self.replicasFile = replicasFile
        self.authority = authority
    }

    package struct CachedImage: Sendable, Equatable {
        package var path: String
        /// `raw` or `qcow2`.
        package var format: String
        package var virtualSizeBytes: UInt64
    }

    /// The image's file on this host, fetched if it is not there.
    package func fetch(_ image: ImageReference, ticket: ImageTicket?) async throws(GuestFailure) -> CachedImage {
        let outcome = await turns.run(ServerID(image.id.uuid)) { () -> Result<CachedImage, GuestFailure> in
            do throws(GuestFailure) {
                return .success(try await find(image, ticket))
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private func find(_ image: ImageReference, _ ticket: ImageTicket?) async throws(GuestFailure) -> CachedImage {
        // The digest is part of the name: another content is another file.
        let path = "\(directory)/\(image.id)-\(image.sha512.prefix(16))"
        if !FileManager.default.fileExists(atPath: path) {
            guard let ticket else {
                throw GuestFailure(
                    reason: "The image is not available.", details: "no ticket for image \(image.id)", isPermanent: true
                )
            }
            do {
                try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
                try await fetches.run { try await download(image, ticket, to: path) }
            } catch let failure as GuestFailure {
                throw failure
            } catch {
                throw GuestFailure(
                    reason: "The image could not be fetched.", details: "image \(image.id): \(error)",
                    isPermanent: false)
            }
        }
        return try inspect(path, image)
    }

    private func download(_ image: ImageReference, _ ticket: ImageTicket, to path: String) async throws {
        guard let authority else { return try await download(image, ticket, to: path, with: HTTPClient.shared) }
        // A client for one image: the authority's file may have been replaced since the last.
        var security = TLSConfiguration.makeClientConfiguration()
        security.trustRoots = .file(authority)
        security.minimumTLSVersion = .tlsv12
        let client = HTTPClient(
            eventLoopGroupProvider: .singleton, configuration: .init(tlsConfiguration: security))
        do {
            try await download(image, ticket, to: path, with: client)
        } catch {
            try await client.shutdown()
            throw error
        }
        try await client.shutdown()
    }

    /// From the first place that has it: a replica of the API may be away, or have no copy.
    private func download(
        _ image: ImageReference, _ ticket: ImageTicket, to path: String, with client: HTTPClient
    ) async throws {
        do {
            try await download(image, ticket, from: imageURL, to: path, with: client)
        } catch {
            for url in replicas {
                try Task.checkCancellation()
                do {
                    return try await download(image, ticket, from: url, to: path, with: client)
                } catch {
                    continue  // What the first place said counts.
                }
            }
            throw error
        }
    }

    private var replicas: [String] {
        guard let replicasFile, let data = FileManager.default.contents(atPath: replicasFile) else { return [] }
        return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
    }

    private func download(
        _ image: ImageReference, _ ticket: ImageTicket, from url: String, to path: String, with client: HTTPClient
    ) async throws {
        var request = HTTPClientRequest(url: "\(url)/v2/images/\(image.id)/file")
        request.headers.add(name: "X-Image-Ticket", value: ticket.token)
        let response = try await client.execute(request, timeout: Self.fetchTimeLimit)
        guard response.status == .ok else {
            let isPermanent = [.notFound, .gone, .unauthorized, .forbidden].contains(response.status)
            throw GuestFailure(
                reason: "The image could not be fetched.",
                details: "the image service answered \(response.status.code)",
                isPermanent: isPermanent)
        }
        let partial = path + ".part"
        do {
            let digest = try await write(response.body, expected: image.sizeBytes, to: partial)
            guard digest == image.sha512.lowercased() else {
                throw GuestFailure(
                    reason: "The image is damaged.", details: "SHA-512 of image \(image.id) is not as recorded",
                    isPermanent: false)
            }
            try FileManager.default.moveItem(atPath: partial, toPath: path)
        } catch {
            try? FileManager.default.removeItem(atPath: partial)  // what matters is the error that led here
            throw error
        }
    }

    private func write(_ body: HTTPClientResponse.Body, expected: Int64, to path: String) async throws -> String {
        if FileManager.default.fileExists(atPath: path) { try FileManager.default.removeItem(atPath: path) }
        return try await FileSystem.shared.withFileHandle(
            forWritingAt: SystemPackage.FilePath(path), options: .newFile(replaceExisting: true)
        ) { file in
            var hash = SHA512()
            var offset: Int64 = 0
            for try await chunk in body {
                guard offset + Int64(chunk.readableBytes) <= expected else {
                    throw GuestFailure(
                        reason: "The image is damaged.", details: "more than \(expected) bytes came", isPermanent: false
                    )
                }
                chunk.withUnsafeReadableBytes { hash.update(bufferPointer: $0) }
                offset += try await file.write(contentsOf: chunk.readableBytesView, toAbsoluteOffset: offset)
            }
            return hash.finalize().map { byte in
                let text = String(byte, radix: 16)
                return text.utf8.count == 1 ? "0" + text : text
            }.joined()
        }
    }

    /// A second look on the host, whoever wrote the file: nothing unsafe is ever opened by QEMU.
    private func inspect(_ path: String, _ image: ImageReference) throws(GuestFailure) -> CachedImage {
        do {
            let inspection = try ImageInspector().inspect(
                try FileImageSource(path: path), declared: DiskFormat(rawValue: image.diskFormat))
            return CachedImage(
                path: path, format: inspection.format.rawValue, virtualSizeBytes: inspection.virtualSizeBytes)
        } catch {
            throw GuestFailure(
                reason: "The image is not acceptable.", details: "image \(image.id): \(error)", isPermanent: true)
        }
    }
}

/// A file's bytes for the inspector: two small reads, at the start and at the end.
private final class FileImageSource: ImageSource {
    let size: UInt64
    private let descriptor: FileDescriptor

    init(path: String) throws {
        descriptor = try FileDescriptor.open(SystemPackage.FilePath(path), .readOnly)
        size = UInt64(try descriptor.seek(offset: 0, from: .end))
    }

    deinit {
        do {
            try descriptor.close()
        } catch {
            // Nothing was written: there is nothing to lose by a close that fails.
        }
    }

    func read(at offset: UInt64, count: Int) throws -> [UInt8] {
        try [UInt8](unsafeUninitializedCapacity: count) { buffer, initialized in
            while initialized < count {
                let rest = UnsafeMutableRawBufferPointer(
                    rebasing: UnsafeMutableRawBufferPointer(buffer)[initialized...])
                let read = try descriptor.read(fromAbsoluteOffset: Int64(offset) + Int64(initialized), into: rest)
                guard read > 0 else { break }
                initialized += read
            }
        }
    }
}

package import CloudModel
package import FoundationEssentials
package import PostgresClient
import Primitives

/// The image catalog in PostgreSQL. Its tables are made by ``ImageSchema``.
package struct PostgresImageRepository: ImageRepository {
    private let pool: PostgresPool

    package init(pool: PostgresPool) { self.pool = pool }

    package func image(_ id: ImageID) async throws(ImageStoreError) -> Image? {
        try await images("select \(raw: ImageSQL.columns) from image.images i where i.id = \(id)").first
    }

    package func images(_ query: ImageQuery) async throws(ImageStoreError) -> [Image] {
        let images = try await images(ImageSQL.page(query))
        // An empty page may mean that the marker is not there.
        guard images.isEmpty, let marker = query.marker else { return images }
        guard try await run("select 1 from image.images where id = \(marker)").isEmpty else { return [] }
        throw .markerNotFound
    }

    package func insert(_ image: Image) async throws(ImageStoreError) {
        _ = try await run(
            """
            insert into image.images (id, version, name, status, visibility, owner, disk_format, container_format,
                min_disk, min_ram, protected, hidden, tags, properties, created_at, updated_at, size_bytes, content, file)
            values (\(image.id), \(image.version), \(image.name), \(image.status.rawValue),
                \(image.visibility.rawValue), \(image.owner?.text), \(image.diskFormat), \(image.containerFormat),
                \(image.minimumDiskGiB), \(image.minimumMemoryMiB), \(image.isProtected), \(image.isHidden),
                \(image.tags), \(PostgresJSON(image.properties)), \(image.createdAt), \(image.updatedAt),
                \(image.content?.sizeBytes), \(image.content.map { PostgresJSON($0) }), \(image.content?.file))
            """)
    }

    package func update(_ image: Image) async throws(ImageStoreError) -> Bool {
        try await change(
            """
            update image.images set version = version + 1, name = \(image.name),
                visibility = \(image.visibility.rawValue), owner = \(image.owner?.text),
                disk_format = \(image.diskFormat), container_format = \(image.containerFormat),
                min_disk = \(image.minimumDiskGiB), min_ram = \(image.minimumMemoryMiB),
                protected = \(image.isProtected), hidden = \(image.isHidden), tags = \(image.tags),
                properties = \(PostgresJSON(image.properties)), updated_at = \(image.updatedAt)
            where id = \(image.id) and version = \(image.version)
            """)
    }

    package func setActive(_ isActive: Bool, _ id: ImageID, now: Date) async throws(ImageStoreError) -> Bool {
        let status: ImageStatus = isActive ? .active : .deactivated
        return try await change(
            """
            update image.images set status = \(status.rawValue), version = version + 1, updated_at = \(now)
            where id = \(id) and status in ('active', 'deactivated')
            """)
    }

    package func delete(_ id: ImageID) async throws(ImageStoreError) -> Image? {
        try await images("delete from image.images i where i.id = \(id) returning \(raw: ImageSQL.columns)").first
    }

    // MARK: uploads

    package func begin(
        _ upload: ImageUpload, now: Date, leaseUntil: Date
    ) async throws(ImageStoreError) -> Bool {
        try await change(
            """
            update image.images set status = 'saving', version = version + 1, updated_at = \(now),
                upload_id = \(upload.uploadID), lease_until = \(leaseUntil)
            where id = \(upload.imageID)
                and (status = 'queued' or (status = 'saving' and lease_until <= \(now)))
            """)
    }

    package func renew(_ upload: ImageUpload, leaseUntil: Date) async throws(ImageStoreError) -> Bool {
        try await change(
            """
            update image.images set lease_until = \(leaseUntil)
            where id = \(upload.imageID) and upload_id = \(upload.uploadID) and status = 'saving'
            """)
    }

    package func finish(
        _ upload: ImageUpload, content: ImageContent, now: Date
    ) async throws(ImageStoreError) -> Bool {
        try await change(
            """
            update image.images set status = 'active', version = version + 1, updated_at = \(now), upload_id = null,
                lease_until = null, size_bytes = \(content.sizeBytes), content = \(PostgresJSON(content)),
                file = \(content.file)
            where id = \(upload.imageID) and upload_id = \(upload.uploadID) and status = 'saving'
            """)
    }

    package func abort(_ upload: ImageUpload, now: Date) async throws(ImageStoreError) {
        _ = try await run(
            """
            update image.images set status = 'queued', version = version + 1, updated_at = \(now), upload_id = null,
                lease_until = null
            where id = \(upload.imageID) and upload_id = \(upload.uploadID) and status = 'saving'
            """)
    }

    package func abortExpired(now: Date) async throws(ImageStoreError) -> Int {
        try await run(
            """
            update image.images set status = 'queued', version = version + 1, updated_at = \(now), upload_id = null,
                lease_until = null
            where status = 'saving' and lease_until <= \(now)
            """
        ).affected
    }

    package func known(files: [String]) async throws(ImageStoreError) -> Set<String> {
        let rows = try await run("select file from image.images where file = any(\(files))")
        do {
            return Set(try rows.column(as: String.self))
        } catch {
            throw Self.error(error)
        }
    }

    // MARK: plumbing

    private func run(_ statement: Statement) async throws(ImageStoreError) -> Rows {
        do {
            return try await pool.query(statement)
        } catch {
            throw Self.error(error)
        }
    }

    private func change(_ statement: Statement) async throws(ImageStoreError) -> Bool {
        try await run(statement).affected > 0
    }

    private func images(_ statement: Statement) async throws(ImageStoreError) -> [Image] {
        let rows = try await run(statement)
        var images: [Image] = []
        do {
            for row in rows { images.append(try ImageSQL.image(row)) }
        } catch {
            throw Self.error(error)
        }
        return images
    }

    private static func error(_ error: PostgresError) -> ImageStoreError {
        switch error {
        case .server(.uniqueViolation, _, _, _): .duplicate
        case .encoding: .invalidText
        case .server("22P05", _, _, _): .invalidText  // a NUL inside JSON
        default: .unavailable("\(error)")
        }
    }
}

package import CloudModel
package import FoundationEssentials
import Synchronization

/// The image catalog without a database: the stand-in for tests, held to the same contract as PostgreSQL.
package final class InMemoryImageRepository: ImageRepository {
    private struct Entry {
        var image: Image
        var uploadID: UUID?
        var leaseUntil: Date?
    }

    private let state = Mutex<[ImageID: Entry]>([:])

    package init() {}

    package func image(_ id: ImageID) async throws(ImageStoreError) -> Image? { state.withLock { $0[id]?.image } }

    package func images(_ query: ImageQuery) async throws(ImageStoreError) -> [Image] {
        let all = state.withLock { $0.values.map(\.image) }
        let precedes = { (left: Image, right: Image) in Self.precedes(left, right, query.sort) }
        var found = all.filter { Self.matches($0, query) }.sorted(by: precedes)
        if let marker = query.marker {
            guard let last = all.first(where: { $0.id == marker }) else { throw .markerNotFound }
            found = found.filter { precedes(last, $0) }
        }
        return Array(found.prefix(max(0, query.limit)))
    }

    package func insert(_ image: Image) async throws(ImageStoreError) {
        try Self.check(image)
        let isNew = state.withLock { state in
            guard state[image.id] == nil else { return false }
            state[image.id] = Entry(image: image)
            return true
        }
        guard isNew else { throw .duplicate }
    }

    package func update(_ image: Image) async throws(ImageStoreError) -> Bool {
        try Self.check(image)
        return change(image.id) { entry in
            guard entry.image.version == image.version else { return false }
            let old = entry.image
            entry.image = image
            (entry.image.status, entry.image.content) = (old.status, old.content)
            return true
        }
    }

    package func setActive(_ isActive: Bool, _ id: ImageID, now: Date) async throws(ImageStoreError) -> Bool {
        change(id) { entry in
            guard [.active, .deactivated].contains(entry.image.status) else { return false }
            entry.image.status = isActive ? .active : .deactivated
            entry.image.updatedAt = now
            return true
        }
    }

    package func delete(_ id: ImageID) async throws(ImageStoreError) -> Image? {
        state.withLock { $0.removeValue(forKey: id)?.image }
    }

    package func begin(
        _ upload: ImageUpload, now: Date, leaseUntil: Date
    ) async throws(ImageStoreError) -> Bool {
        change(upload.imageID) { entry in
            let isFree = entry.image.status == .saving && entry.leaseUntil.map { $0 <= now } ?? false
            guard entry.image.status == .queued || isFree else { return false }
            entry.image.status = .saving
            entry.image.updatedAt = now
            (entry.uploadID, entry.leaseUntil) = (upload.uploadID, leaseUntil)
            return true
        }
    }

    package func renew(_ upload: ImageUpload, leaseUntil: Date) async throws(ImageStoreError) -> Bool {
        state.withLock { state in
            guard let entry = state[upload.imageID], Self.holds(upload, entry) else { return false }
            state[upload.imageID]?.leaseUntil = leaseUntil
            return true
        }
    }

    package func finish(
        _ upload: ImageUpload, content: ImageContent, now: Date
    ) async throws(ImageStoreError) -> Bool {
        change(upload.imageID) { entry in
            guard Self.holds(upload, entry) else { return false }
            (entry.uploadID, entry.leaseUntil) = (nil, nil)
            entry.image.status = .active
            entry.image.content = content
            entry.image.updatedAt = now
            return true
        }
    }

    package func abort(_ upload: ImageUpload, now: Date) async throws(ImageStoreError) {
        _ = change(upload.imageID) { entry in
            guard Self.holds(upload, entry) else { return false }
            Self.putBack(&entry, now)
            return true
        }
    }

    package func abortExpired(now: Date) async throws(ImageStoreError) -> Int {
        let expired = state.withLock { state in
            state.values.filter { $0.image.status == .saving && ($0.leaseUntil ?? now) <= now }.map(\.image.id)
        }
        for id in expired {
            _ = change(id) { entry in
                Self.putBack(&entry, now)
                return true
            }
        }
        return expired.count
    }

    package func known(files: [String]) async throws(ImageStoreError) -> Set<String> {
        let all = state.withLock { Set($0.values.compactMap(\.image.content?.file)) }
        return all.intersection(files)
    }

    /// Runs `body` and counts the version up when it says that it changed something.
    private func change(_ id: ImageID, _ body: (inout Entry) -> Bool) -> Bool {
        state.withLock { state in
            guard var entry = state[id], body(&entry) else { return false }
            entry.image.version += 1
            state[id] = entry
            return true
        }
    }

    private static func holds(_ upload: ImageUpload, _ entry: Entry) -> Bool {
        entry.image.status == .saving && entry.uploadID == upload.uploadID
    }

    private static func putBack(_ entry: inout Entry, _ now: Date) {
        entry.image.status = .queued
        entry.image.updatedAt = now
        (entry.uploadID, entry.leaseUntil) = (nil, nil)
    }

    private static func check(_ image: Image) throws(ImageStoreError) {
        let texts = [image.name ?? ""] + image.tags + image.properties.flatMap { [$0.key, $0.value] }
        guard !texts.contains(where: { $0.utf8.contains(0) }) else { throw .invalidText }
    }

    private static func matches(_ image: Image, _ query: ImageQuery) -> Bool {
        func any<Value: Equatable>(_ wanted: [Value]?, _ value: Value?) -> Bool {
            guard let wanted else { return true }
            return value.map { wanted.contains($0) } ?? false
        }
        return isVisible(image, query) && image.isHidden == query.isHidden && any(query.ids, image.id)
            && any(query.names, image.name) && any(query.statuses, image.status.rawValue)
            && any(query.diskFormats, image.diskFormat) && any(query.containerFormats, image.containerFormat)
            && (query.owner == nil || query.owner == image.owner) && query.tags.allSatisfy(image.tags.contains)
            && (query.sizeAtLeast.map { image.content?.sizeBytes ?? -1 >= $0 } ?? true)
            && (query.sizeAtMost.map { image.content != nil && image.content?.sizeBytes ?? 0 <= $0 } ?? true)
            && (query.isProtected ?? image.isProtected) == image.isProtected
            && query.properties.allSatisfy { image.properties[$0.key] == $0.value }
            && query.times.allSatisfy { matches(image, $0) }
    }

    private static func isVisible(_ image: Image, _ query: ImageQuery) -> Bool {
        let isOwn: Bool
        switch query.viewer {
        case .administrator: isOwn = true
        case .project(let project): isOwn = project != nil && project == image.owner
        }
        switch query.visibility {
        case .usual: return isOwn || image.visibility == .public
        case .all: return isOwn || [.public, .community].contains(image.visibility)
        case .only(let visibility):
            return image.visibility == visibility && (isOwn || [.public, .community].contains(visibility))
        }
    }

    private static func matches(_ image: Image, _ filter: ImageQuery.TimeFilter) -> Bool {
        let date = filter.field == .createdAt ? image.createdAt : image.updatedAt
        let (left, right) = (date.timeIntervalSince1970.rounded(.down), filter.time.timeIntervalSince1970)
        return switch filter.comparison {
        case .eq: left == right
        case .neq: left != right
        case .gt: left > right
        case .gte: left >= right
        case .lt: left < right
        case .lte: left <= right
        }
    }

    private static func precedes(_ left: Image, _ right: Image, _ sort: [ImageQuery.Sort]) -> Bool {
        for key in sort {
            let order = compare(left, right, key.key)
            if order != 0 { return key.isAscending ? order < 0 : order > 0 }
        }
        return false
    }

    private static func compare(_ left: Image, _ right: Image, _ key: ImageQuery.SortKey) -> Int {
        func order<Value: Comparable>(_ left: Value, _ right: Value) -> Int { left < right ? -1 : left > right ? 1 : 0 }
        return switch key {
        case .name: order(left.name ?? "", right.name ?? "")
        case .status: order(left.status.rawValue, right.status.rawValue)
        case .size: order(left.content?.sizeBytes ?? -1, right.content?.sizeBytes ?? -1)
        case .id: order(left.id, right.id)
        case .diskFormat: order(left.diskFormat ?? "", right.diskFormat ?? "")
        case .containerFormat: order(left.containerFormat ?? "", right.containerFormat ?? "")
        case .createdAt: order(left.createdAt, right.createdAt)
        case .updatedAt: order(left.updatedAt, right.updatedAt)
        }
    }
}

package import CloudModel
import FoundationEssentials
import Primitives
import Testing

/// What every image repository keeps to. Each case gets a repository of its own, empty.
package enum ImageContract {
    package struct Case: Sendable, CustomTestStringConvertible {
        package let name: String
        package let run: @Sendable (any ImageRepository) async throws -> Void
        package var testDescription: String { name }
    }

    package static let cases: [Case] = [
        Case(name: "keeps images", run: keepsImages),
        Case(name: "changes from what was read", run: changesOnce),
        Case(name: "refuses text that can't be stored", run: refusesText),
        Case(name: "moves uploads along", run: movesUploads),
        Case(name: "gives lost uploads to others", run: handsOver),
        Case(name: "puts lost uploads back", run: putsBack),
        Case(name: "deactivates", run: deactivates),
        Case(name: "shows to each viewer what is theirs", run: filtersByViewer),
        Case(name: "filters", run: filters),
        Case(name: "pages in every order", run: pages),
        Case(name: "knows its files", run: knowsFiles),
    ]

    private static let now = Date(timeIntervalSince1970: 1_800_000_000)

    private static func id(_ number: Int) -> ImageID {
        let digits = String(number)
        let text = "00000000-0000-4000-8000-" + String(repeating: "0", count: 12 - digits.count) + digits
        guard let id = ImageID(text) else { preconditionFailure("a number of at most 12 digits") }
        return id
    }

    private static func upload(_ number: Int, attempt: Int = 1) -> ImageUpload {
        ImageUpload(imageID: id(number), uploadID: id(1000 + attempt).uuid)
    }

    private static func image(
        _ number: Int, _ name: String?, _ visibility: ImageVisibility = .shared, owner: ProjectID? = "p1"
    ) -> Image {
        Image(
            id: id(number), name: name, visibility: visibility, owner: owner, diskFormat: "qcow2",
            containerFormat: "bare", createdAt: now.addingTimeInterval(Double(number)), updatedAt: now)
    }

    private static func content(_ size: Int64, file: String = "f") -> ImageContent {
        ImageContent(sizeBytes: size, virtualSizeBytes: size * 2, md5: "m", sha512: "s", file: file)
    }

    private static func keepsImages(_ store: any ImageRepository) async throws {
        var image = image(1, "ünï \"q\"")
        image.properties = ["os_distro": "debian", "a.b": "\"x\""]
        image.tags = ["a", "b c"]
        (image.minimumDiskGiB, image.minimumMemoryMiB, image.isProtected) = (3, 64, true)
        try await store.insert(image)
        #expect(try await store.image(image.id) == image)
        let copy = image
        await #expect(throws: ImageStoreError.duplicate) { try await store.insert(copy) }
        let bare = Image(id: id(2), owner: nil, createdAt: now, updatedAt: now)
        try await store.insert(bare)
        #expect(try await store.image(bare.id) == bare)
        #expect(try await store.delete(image.id) == image)
        #expect(try await store.delete(image.id) == nil)
        #expect(try await store.image(image.id) == nil)
    }

    private static func changesOnce(_ store: any ImageRepository) async throws {
        var image = image(1, "a")
        try await store.insert(image)
        image.name = "b"
        image.properties = ["k": "v"]
        image.status = .active
        #expect(try await store.update(image))
        #expect(try await !store.update(image), "a change from an old version is refused")
        let stored = try #require(try await store.image(image.id))
        #expect(stored.name == "b" && stored.properties == ["k": "v"] && stored.version == 2)
        #expect(stored.status == .queued, "an update leaves the status alone")
        image.id = id(9)
        #expect(try await !store.update(image))
    }

    private static func refusesText(_ store: any ImageRepository) async throws {
        await #expect(throws: ImageStoreError.invalidText) { try await store.insert(image(1, "a\0")) }
        var odd = image(1, "a")
        odd.properties = ["k": "v\0"]
        let copy = odd
        await #expect(throws: ImageStoreError.invalidText) { try await store.insert(copy) }
    }

    private static func movesUploads(_ store: any ImageRepository) async throws {
        try await store.insert(image(1, "a"))
        let lease = now.addingTimeInterval(60)
        #expect(try await store.begin(upload(1), now: now, leaseUntil: lease))
        #expect(try await store.image(id(1))?.status == .saving)
        #expect(try await !store.begin(upload(1, attempt: 2), now: now, leaseUntil: lease))
        #expect(try await !store.renew(upload(1, attempt: 2), leaseUntil: lease))
        #expect(try await store.renew(upload(1), leaseUntil: lease))
        #expect(try await !store.finish(upload(1, attempt: 2), content: content(5), now: now))
        #expect(try await store.finish(upload(1), content: content(5), now: lease))
        let stored = try #require(try await store.image(id(1)))
        #expect(stored.status == .active && stored.content == content(5) && stored.updatedAt == lease)
        #expect(try await !store.begin(upload(1, attempt: 3), now: now, leaseUntil: lease), "data never changes")
        #expect(try await !store.begin(upload(7), now: now, leaseUntil: lease))
    }

    private static func handsOver(_ store: any ImageRepository) async throws {
        try await store.insert(image(1, "a"))
        #expect(try await store.begin(upload(1), now: now, leaseUntil: now.addingTimeInterval(60)))
        let later = now.addingTimeInterval(60)
        #expect(
            try await store.begin(upload(1, attempt: 2), now: later, leaseUntil: later.addingTimeInterval(60)))
        #expect(try await !store.finish(upload(1), content: content(5), now: later))
        try await store.abort(upload(1), now: later)
        #expect(try await store.image(id(1))?.status == .saving, "the late one aborts nothing")
        #expect(try await store.finish(upload(1, attempt: 2), content: content(6), now: later))
    }

    private static func putsBack(_ store: any ImageRepository) async throws {
        for number in 1...3 { try await store.insert(image(number, "a")) }
        let lease = now.addingTimeInterval(60)
        #expect(try await store.begin(upload(1), now: now, leaseUntil: lease))
        #expect(try await store.begin(upload(2), now: now, leaseUntil: lease))
        try await store.abort(upload(1), now: now)
        #expect(try await store.image(id(1))?.status == .queued)
        #expect(try await store.abortExpired(now: now) == 0)
        #expect(try await store.abortExpired(now: lease) == 1)
        #expect(try await store.image(id(2))?.status == .queued)
        #expect(try await !store.finish(upload(2), content: content(5), now: now))
        #expect(try await store.begin(upload(2, attempt: 2), now: lease, leaseUntil: lease))
    }

    private static func deactivates(_ store: any ImageRepository) async throws {
        try await store.insert(image(1, "a"))
        #expect(try await !store.setActive(false, id(1), now: now))
        _ = try await store.begin(upload(1), now: now, leaseUntil: now)
        _ = try await store.finish(upload(1), content: content(1), now: now)
        #expect(try await store.setActive(false, id(1), now: now))
        #expect(try await store.image(id(1))?.status == .deactivated)
        #expect(try await store.setActive(true, id(1), now: now))
        #expect(try await store.image(id(1))?.status == .active)
    }

    private static func numbers(_ images: [Image]) -> [Int] {
        images.compactMap { Int($0.id.description.suffix(12)) }
    }

    private static func filtersByViewer(_ store: any ImageRepository) async throws {
        for (index, visibility) in ImageVisibility.allCases.enumerated() {
            try await store.insert(image(index + 1, "mine", visibility))
            try await store.insert(image(index + 11, "theirs", visibility, owner: "p2"))
        }
        try await store.insert(image(21, "nobody's", .private, owner: nil))
        // public 1, private 2, shared 3, community 4; those of p2 are ten more.
        let expected: [(ImageQuery.Viewer, ImageQuery.Visibility, [Int])] = [
            (.project("p1"), .usual, [1, 2, 3, 4, 11]), (.project("p1"), .all, [1, 2, 3, 4, 11, 14]),
            (.project("p1"), .only(.public), [1, 11]), (.project("p1"), .only(.private), [2]),
            (.project("p1"), .only(.shared), [3]), (.project("p1"), .only(.community), [4, 14]),
            (.project(nil), .usual, [1, 11]), (.project(nil), .only(.private), []),
            (.administrator, .usual, [1, 2, 3, 4, 11, 12, 13, 14, 21]), (.administrator, .only(.private), [2, 12, 21]),
        ]
        for (viewer, visibility, wanted) in expected {
            var query = ImageQuery(viewer: viewer, sort: [.init(.id, isAscending: true)])
            query.visibility = visibility
            #expect(numbers(try await store.images(query)) == wanted, "\(viewer) \(visibility)")
        }
    }

    private static func filters(_ store: any ImageRepository) async throws {
        var one = image(1, "a")
        (one.tags, one.properties) = (["x", "y"], ["os": "debian"])
        var two = image(2, "b")
        (two.tags, two.diskFormat, two.isProtected, two.containerFormat) = (["x"], "raw", true, "ovf")
        var three = image(3, nil, owner: "p2")
        three.isHidden = true
        for image in [one, two, three] { try await store.insert(image) }
        _ = try await store.begin(upload(1), now: now, leaseUntil: now)
        _ = try await store.finish(upload(1), content: content(100), now: now)
        func expect(
            _ wanted: [Int], _ change: (inout ImageQuery) -> Void, _ comment: Comment? = nil,
            location: SourceLocation = #_sourceLocation
        ) async throws {
            var query = ImageQuery(viewer: .administrator, sort: [.init(.id, isAscending: true)])
            change(&query)
            #expect(numbers(try await store.images(query)) == wanted, comment, sourceLocation: location)
        }
        try await expect([1, 2], { _ in })
        try await expect([3], { $0.isHidden = true })
        try await expect([1], { $0.names = ["a"] })
        try await expect([1, 2], { $0.names = ["a", "b", "c"] })
        try await expect([2], { $0.ids = [id(2), id(3)] })
        try await expect([], { $0.ids = [] })
        try await expect([1], { $0.statuses = ["active"] })
        try await expect([2], { $0.diskFormats = ["raw"] })
        try await expect([2], { $0.containerFormats = ["ovf"] })
        try await expect([1, 2], { $0.owner = "p1" })
        try await expect([1, 2], { $0.tags = ["x"] })
        try await expect([1], { $0.tags = ["x", "y"] })
        try await expect([1], { $0.sizeAtLeast = 100 })
        try await expect([], { $0.sizeAtLeast = 101 })
        try await expect([1], { $0.sizeAtMost = 100 })
        try await expect([2], { $0.isProtected = true })
        try await expect([1], { $0.properties = ["os": "debian"] })
        try await expect([], { $0.properties = ["os": "debian", "x": "y"] })
        try await expect([2], { $0.times = [.init(field: .createdAt, comparison: .gt, time: one.createdAt)] })
        try await expect([1], { $0.times = [.init(field: .createdAt, comparison: .eq, time: one.createdAt)] })
        try await expect([], { $0.limit = 0 })
    }

    private static func pages(_ store: any ImageRepository) async throws {
        let names: [String?] = ["b", "a", nil, "b", "c", "a", nil]
        for (index, name) in names.enumerated() {
            var image = image(index + 1, name)
            image.createdAt = now.addingTimeInterval(Double(index / 2))
            try await store.insert(image)
        }
        for key in ImageQuery.SortKey.allCases {
            for isAscending in [true, false] {
                var query = ImageQuery(viewer: .administrator, sort: [.init(key, isAscending: isAscending)])
                let whole = numbers(try await store.images(query))
                #expect(Set(whole).count == names.count)
                query.limit = 2
                var paged: [Int] = []
                repeat {
                    let page = try await store.images(query)
                    paged += numbers(page)
                    query.marker = page.last?.id
                } while query.marker != nil
                #expect(paged == whole, "\(key) \(isAscending)")
            }
        }
        var query = ImageQuery(viewer: .administrator, sort: [.init(.name, isAscending: true)])
        #expect(numbers(try await store.images(query)) == [3, 7, 2, 6, 1, 4, 5], "no name comes first, then by age")
        query.marker = id(99)
        let copy = query
        await #expect(throws: ImageStoreError.markerNotFound) { try await store.images(copy) }
    }

    private static func knowsFiles(_ store: any ImageRepository) async throws {
        try await store.insert(image(1, "a"))
        _ = try await store.begin(upload(1), now: now, leaseUntil: now)
        _ = try await store.finish(upload(1), content: content(1, file: "one"), now: now)
        #expect(try await store.known(files: ["one", "two"]) == ["one"])
        #expect(try await store.known(files: []).isEmpty)
    }
}

import CloudModel
import FoundationEssentials
import Glibc
import HTTPKit
import HTTPTypes
import ImageInspector
import Logging
import NIOCore
import Primitives
import ServiceLifecycle
import SystemPackage
import TestSupport
import Testing

@testable import ImageAPI

@Suite struct ImageDataTests {
    @Test func storesHashesAndGivesBack() async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        let data = ImageBench.disk(3_000_001)
        #expect(try await bench.upload(image.id, data).status == 204)
        let shown = try await bench.show(image.id)
        #expect(shown["status"] == "active" && shown["size"] == 3_000_001 && shown["virtual_size"] == 3_000_001)
        #expect(shown["os_hash_algo"] == "sha512" && shown["os_hash_value"]?.string?.count == 128)
        #expect(bench.files.count == 1)
        let down = try await bench.call(.get, "/v2/images/\(image.id)/file")
        #expect(down.status == 200 && down.bytes == data)
        #expect(down.headers[.contentType] == "application/octet-stream")
        #expect(down.headers[.contentLength] == "3000001")
        #expect(down.headers[HTTPField.Name(fixed: "Content-MD5")].map { JSONValue.string($0) } == shown["checksum"])
    }

    @Test func hashesLikeEverybodyElse() async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        #expect(try await bench.upload(image.id, Array("abc".utf8)).status == 204)
        let shown = try await bench.show(image.id)
        #expect(shown["checksum"] == "900150983cd24fb0d6963f7d28e17f72")
        #expect(
            shown["os_hash_value"]
                == "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
        )
    }

    @Test func takesGoodQCOW2() async throws {
        let bench = try ImageBench()
        let image = try await bench.create(["disk_format": "qcow2"])
        #expect(try await bench.upload(image.id, ImageBench.qcow2()).status == 204)
        #expect(try await bench.show(image.id)["virtual_size"] == .integer(1 << 20))
    }

    enum BadData: String, CaseIterable {
        case backingFile, declaredRaw, declaredQCOW2, otherFormat, nothing, tooMuch, cutOff

        var format: String { [.backingFile, .declaredQCOW2, .cutOff].contains(self) ? "qcow2" : "raw" }

        var bytes: [UInt8] {
            switch self {
            case .backingFile: ImageBench.qcow2(backingFile: true)
            case .declaredRaw: ImageBench.qcow2()
            case .declaredQCOW2: ImageBench.disk(70_000)
            case .otherFormat: Array("KDMV".utf8) + ImageBench.disk(70_000)
            case .nothing: []
            case .tooMuch: ImageBench.disk(8 << 20 | 1)
            case .cutOff: Array(ImageBench.qcow2().prefix(60))
            }
        }

        var status: Int {
            switch self {
            case .nothing: 400
            case .tooMuch: 413
            case .backingFile, .declaredRaw, .declaredQCOW2, .otherFormat, .cutOff: 415
            }
        }
    }

    @Test(arguments: BadData.allCases)
    func keepsNothingOfWhatItRefuses(bad: BadData) async throws {
        let bench = try ImageBench()
        let image = try await bench.create(["disk_format": .string(bad.format)])
        let answer = try await bench.upload(image.id, bad.bytes)
        #expect(answer.status == bad.status)
        #expect(answer["message"]?.string?.isEmpty == false)
        #expect(bench.files.isEmpty)
        let shown = try await bench.show(image.id)
        #expect(shown["status"] == "queued" && shown["size"] == .null)
        // And the image is as good as before.
        let good = bad.format == "raw" ? ImageBench.disk(1000) : ImageBench.qcow2()
        #expect(try await bench.upload(image.id, good).status == 204)
    }

    @Test func takesDataOnce() async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        #expect(try await bench.upload(image.id, [1, 2, 3]).status == 204)
        #expect(try await bench.upload(image.id, [1, 2, 3]).status == 409)
        let operations: JSONValue = [["op": "replace", "path": "/disk_format", "value": "qcow2"]]
        #expect(try await bench.patch(image.id, operations).status == 403)
        #expect(bench.files.count == 1)
    }

    @Test func wantsItsMediaTypeAndFormats() async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        let typed = try await bench.call(.put, "/v2/images/\(image.id)/file", data: [1])
        #expect(typed.status == 415)
        let bare = try await bench.call(.post, "/v2/images", ["name": "x"])
        #expect(try await bench.upload(bare.id, [1]).status == 400)
    }

    @Test func readsNothingWhereNothingIs() async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        let answer = try await bench.call(.get, "/v2/images/\(image.id)/file")
        #expect(answer.status == 204 && answer.bytes.isEmpty)
    }

    @Test(arguments: [
        ("bytes=0-3", 206, 0..<4), ("bytes=990-", 206, 990..<1000), ("bytes=-10", 206, 990..<1000),
        ("bytes=998-2000", 206, 998..<1000), ("bytes=0-0,5-6", 200, 0..<1000), ("lines=1-2", 200, 0..<1000),
        ("bytes=5-2", 200, 0..<1000), ("bytes=-", 200, 0..<1000),
    ])
    func givesRanges(range: String, status: Int, expected: Range<Int>) async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        let data = ImageBench.disk(1000)
        _ = try await bench.upload(image.id, data)
        let answer = try await bench.call(.get, "/v2/images/\(image.id)/file", headers: [.range: range])
        #expect(answer.status == status)
        #expect(answer.bytes == Array(data[expected]))
        if status == 206 {
            #expect(
                answer.headers[.contentRange] == "bytes \(expected.lowerBound)-\(expected.upperBound - 1)/1000")
        }
    }

    @Test(arguments: ["bytes=1000-", "bytes=1000-1001", "bytes=-0"])
    func refusesRangesBehindTheEnd(range: String) async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        _ = try await bench.upload(image.id, ImageBench.disk(1000))
        let answer = try await bench.call(.get, "/v2/images/\(image.id)/file", headers: [.range: range])
        #expect(answer.status == 416 && answer.headers[.contentRange] == "bytes */1000")
    }

    @Test func opensToTicketsOfTheSameImage() async throws {
        let bench = try ImageBench()
        let (one, two) = (try await bench.create(), try await bench.create())
        for image in [one, two] { _ = try await bench.upload(image.id, [1, 2, 3]) }
        let ticket: HTTPFields = [.imageTicket: "ticket-\(one.id)"]
        let answer = try await bench.call(.get, "/v2/images/\(one.id)/file", as: nil, headers: ticket)
        #expect(answer.status == 200 && answer.bytes == [1, 2, 3])
        #expect(try await bench.call(.get, "/v2/images/\(two.id)/file", as: nil, headers: ticket).status == 401)
        #expect(try await bench.call(.get, "/v2/images/name/file", as: nil, headers: ticket).status == 401)
        #expect(try await bench.call(.get, "/v2/images/\(one.id)", as: nil, headers: ticket).status == 401)
        #expect(
            try await bench.call(.put, "/v2/images/\(one.id)/file", as: nil, data: [], headers: ticket).status == 401)
    }

    @Test func removesTheFileWithTheImage() async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        _ = try await bench.upload(image.id, [1, 2, 3])
        #expect(bench.files.count == 1)
        #expect(try await bench.call(.delete, "/v2/images/\(image.id)").status == 204)
        #expect(bench.files.isEmpty)
    }

    @Test func locksDeactivatedData() async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        _ = try await bench.upload(image.id, [1, 2, 3])
        let path = "/v2/images/\(image.id)/actions"
        #expect(try await bench.call(.post, "\(path)/deactivate").status == 403)
        #expect(try await bench.call(.post, "\(path)/deactivate", as: "admin").status == 204)
        #expect(try await bench.call(.get, "/v2/images/\(image.id)/file").status == 403)
        #expect(try await bench.call(.post, "\(path)/reactivate", as: "admin").status == 204)
        #expect(try await bench.call(.get, "/v2/images/\(image.id)/file").status == 200)
    }

    @Test func tellsAFullDiskFromABrokenOne() {
        let full = ImageService.fault(for: ImageStore.Failure(operation: "write", errno: .noSpace))
        #expect(full?.status == .contentTooLarge)
        #expect(ImageService.fault(for: ImageStore.Failure(operation: "write", errno: .ioError)) == nil)
    }

    @Test func fitsTheEyeOfCompute() async throws {
        let bench = try ImageBench()
        let image = try await bench.create(["min_disk": 2, "min_ram": 3, "os": "x", "visibility": "private"])
        _ = try await bench.upload(image.id, [1, 2, 3])
        let catalog = RepositoryImageCatalog(bench.repository)
        let id = try #require(ImageID(image.id))
        let found = try #require(try await catalog.bootableImage(id, project: "p1", isAdmin: false))
        #expect(found.status == "active" && found.sizeBytes == 3 && found.minimumDiskGiB == 2)
        #expect(found.sha512.count == 128 && found.properties == ["os": "x"] && found.diskFormat == "raw")
        #expect(try await catalog.bootableImage(id, project: "p2", isAdmin: false) == nil)
        #expect(try await catalog.bootableImage(id, project: "p2", isAdmin: true) != nil)
    }
}

@Suite struct ImageStandInTests {
    @Test(arguments: ImageContract.cases)
    func keepsTheContract(of test: ImageContract.Case) async throws {
        try await test.run(InMemoryImageRepository())
    }
}

@Suite struct ImageJanitorTests {
    @Test func clearsWhatCrashesLeft() async throws {
        let bench = try ImageBench()
        let kept = try await bench.create()
        _ = try await bench.upload(kept.id, [1, 2, 3])
        let lost = try await bench.create()
        let upload = ImageUpload(imageID: try #require(ImageID(lost.id)), uploadID: UUID())
        #expect(
            try await bench.repository.begin(
                upload, now: bench.clock.now(), leaseUntil: bench.clock.now().addingTimeInterval(10)))
        let file = try await bench.store.create(upload, format: .raw, limit: 1000)
        try await file.append(ByteBuffer(bytes: [1]))
        let janitor = ImageJanitor(
            repository: bench.repository, store: bench.store, wallClock: bench.clock, clock: ContinuousClock(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        await janitor.round()
        #expect(try await bench.show(lost.id)["status"] == "saving", "a living upload is left alone")
        // The bench's clock is far ahead of the files' times, so only the lease protects them until here.
        bench.clock.advance(20)
        await janitor.round()
        #expect(try await bench.show(lost.id)["status"] == "queued")
        #expect(bench.files.count == 1, "the file of an image stays, the one of a lost upload goes")
        #expect(try await bench.call(.get, "/v2/images/\(kept.id)/file").bytes == [1, 2, 3])
    }
}

/// Uploads over real connections, which break.
@Suite(.timeLimit(.minutes(2))) struct BrokenUploadTests {
    /// Sends `request` on a connection of its own, which stays open.
    private func begin(port: Int, _ request: [UInt8]) throws -> Int32 {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let code = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        try #require(code == 0)
        var sent = 0
        while sent < request.count {
            let count = request[sent...].withUnsafeBytes { send(descriptor, $0.baseAddress, $0.count, 0) }
            try #require(count > 0)
            sent += count
        }
        return descriptor
    }

    @Test(arguments: ["Content-Length: 3000000", "Transfer-Encoding: chunked"])
    func leaveTheImageQueuedAndNoFile(framing: String) async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        let ports = AsyncStream<Int>.makeStream()
        let group = ServiceGroup(
            configuration: .init(
                services: [bench.server { ports.continuation.yield($0) }],
                logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            var iterator = ports.stream.makeAsyncIterator()
            let port = try #require(await iterator.next())
            let head = """
                PUT /image/v2/images/\(image.id)/file HTTP/1.1\r\nHost: localhost\r\nX-Auth-Token: p1:member\r\n\
                Content-Type: application/octet-stream\r\n\(framing)\r\n\r\n
                """
            var request = Array(head.utf8)
            if framing.hasPrefix("Transfer") { request += Array("200000\r\n".utf8) }
            request += ImageBench.disk(1_500_000)
            let descriptor = try begin(port: port, request)
            do {
                defer { close(descriptor) }
                try await eventually("the upload began") {
                    try await bench.show(image.id)["status"] == "saving" && !bench.files.isEmpty
                }
            }
            try await eventually("it is given up") {
                try await bench.show(image.id)["status"] == "queued" && bench.files.isEmpty
            }
            #expect(try await bench.upload(image.id, [1, 2, 3]).status == 204)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }
}

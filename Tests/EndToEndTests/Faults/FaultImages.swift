import CloudHarness
import Foundation
import Primitives
import Synchronization

/// Images that are uploaded while faults befall a cloud: one that is said to be active has every byte, one whose upload failed has
/// none, and all can be deleted.
final class FaultImages: Sendable {
    private struct State {
        var names = 0
        var uploaded = 0
        var refused = 0
        var wrongs: [String] = []
    }

    private static let size = 300_000
    private static let limit = Duration.seconds(120)
    private static let pause = Duration.milliseconds(300)

    private let api: APIClient
    private let seed: UInt64
    private let state = Mutex(State())

    init(_ session: CloudSession, seed: UInt64) {
        api = APIClient(url: session.image.url, headers: session.image.headers, isImpatient: true)
        self.seed = seed
    }

    var summary: String {
        state.withLock { "\($0.uploaded) images uploaded, \($0.refused) uploads refused or unanswered" }
    }

    /// One after the other, until cancelled.
    func upload() async throws {
        while !Task.isCancelled {
            let number = state.withLock { state in
                state.names += 1
                return state.names
            }
            try await live(number)
            try await ContinuousClock().sleep(for: Self.pause)
        }
    }

    /// What was found wrong; in the end no image is left, not of uploads that were broken off either.
    func wrongs() async throws -> [String] {
        let end = ContinuousClock.now + Self.limit
        var left = try await own()
        while !left.isEmpty, ContinuousClock.now < end {
            for id in left { _ = try await answered(.delete, "/images/\(id)") }
            try await ContinuousClock().sleep(for: Self.pause)
            left = try await own()
        }
        return state.withLock(\.wrongs) + left.map { "image left: \($0)" }
    }

    private func own() async throws -> [String] {
        let images = try await api.get("/images?limit=1000").list("images")
        return try images.filter { $0["name"]?.string?.hasPrefix("fault-") == true }.map { try $0.text("id") }
    }

    private func live(_ number: Int) async throws {
        let made = try await answered(
            .post, "/images",
            ["name": .string("fault-\(number)"), "disk_format": "raw", "container_format": "bare"])
        guard let made, made.status == 201 else { return }
        let id = try made.json().text("id")
        let bytes = content(number)
        let upload = try await answered(.put, "/images/\(id)/file", bytes: bytes)
        state.withLock { state in
            if upload?.status == 204 { state.uploaded += 1 } else { state.refused += 1 }
        }
        guard let shown = try await answered(.get, "/images/\(id)"), shown.status == 200 else { return }
        let status = try shown.json().text("status")
        if upload?.status == 204, status != "active" { report("\(id) was uploaded and is \(status)") }
        if status == "active", let got = try await answered(.get, "/images/\(id)/file") {
            if got.status != 200 || got.body != bytes {
                report("\(id) is active and its file is answered \(got.status) with \(got.body.count) bytes")
            }
        }
        _ = try await answered(.delete, "/images/\(id)")
    }

    /// Bytes that differ from image to image, and are no file system's or disk format's.
    private func content(_ number: Int) -> [UInt8] {
        var random = SeededRandom(seed: seed &* 7919 &+ UInt64(number))
        var bytes = [UInt8](repeating: 0, count: 510) + [0x55, 0xAA]
        while bytes.count < Self.size { withUnsafeBytes(of: random.next()) { bytes += $0 } }
        return bytes
    }

    private func report(_ wrong: String) { state.withLock { $0.wrongs.append("image \(wrong)") } }

    /// Nil when there was no answer, or the cloud said that it can't now.
    private func answered(
        _ method: APIClient.Method, _ path: String, _ body: JSONValue? = nil, bytes: [UInt8]? = nil
    ) async throws -> APIAnswer? {
        do {
            let answer =
                if let bytes {
                    try await api.send(method, path, bytes: bytes, type: "application/octet-stream")
                } else {
                    try await api.send(method, path, body)
                }
            return answer.status < 500 ? answer : nil
        } catch {
            try Task.checkCancellation()
            return nil
        }
    }
}

import Deployer
import FoundationEssentials
import Primitives
import Simulation
import Synchronization
import SystemPackage

/// Tells on standard error how far a laboratory is.
struct LabProgress: ProgressReporter {
    static func say(_ line: String) {
        do {
            try FileDescriptor.standardError.writeAll(Array("\(line)\n".utf8))
        } catch {
            // Nobody reads it.
        }
    }

    func report(_ event: ProgressEvent) {
        guard event.kind == .note else { return }
        Self.say(event.title)
    }
}

/// Counts something that a laboratory makes many of, and tells how far it is now and then.
final class LabCount: Sendable, CustomStringConvertible {
    private static let interval: Duration = .seconds(10)

    private let total: Int
    private let what: String
    private let state: Mutex<(count: Int, toldAt: ContinuousClock.Instant)>

    init(of total: Int, _ what: String) {
        self.total = total
        self.what = what
        state = Mutex((0, .now))
    }

    var description: String { "\(state.withLock { $0.count }) of \(total) \(what)" }

    func one() {
        let isToldNow = state.withLock { state in
            state.count += 1
            guard ContinuousClock.now - state.toldAt >= Self.interval else { return false }
            state.toldAt = .now
            return true
        }
        if isToldNow { LabProgress.say("  \(self)") }
    }
}

/// The image that servers are booted from. Simulated hosts fetch none.
enum LabImage {
    static func make(_ client: LabClient) async throws -> String {
        let made = try await client.json(
            "POST", "/image/v2/images",
            ["name": "laboratory", "disk_format": "raw", "container_format": "bare", "visibility": "public"])
        guard let id = made["id"]?.string else { throw LabFailure("the laboratory's image can't be made") }
        try await client.upload("/image/v2/images/\(id)/file", [UInt8](repeating: 0, count: 510) + [0x55, 0xAA])
        return id
    }
}

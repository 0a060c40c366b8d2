import Deployer
import FoundationEssentials
import Primitives
import Simulation
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

import Foundation

/// The recorded migrations of releases.
enum ReleasedSchemas {
    private static let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Golden/schemas.txt")

    /// With `UPDATE_GOLDEN=1` what is new is added, and nothing else changes.
    static func lines(adding now: [String]) throws -> [String] {
        let text =
            FileManager.default.fileExists(atPath: file.path()) ? try String(contentsOf: file, encoding: .utf8) : ""
        let known = text.split(separator: "\n").map(String.init)
        guard ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] == "1" else { return known }
        let numbers = Set(known.compactMap { $0.split(separator: " ").first })
        let fresh = now.filter { line in line.split(separator: " ").first.map { !numbers.contains($0) } ?? false }
        try ((known + fresh).joined(separator: "\n") + "\n").write(to: file, atomically: true, encoding: .utf8)
        return known + fresh
    }
}

import Foundation
import Primitives
import Testing

/// Releases N and N+1 run side by side during an upgrade. `Tests/Golden/wire/<release>.json` has every message as that
/// release wrote it: it is never rewritten. `UPDATE_GOLDEN=1` adds messages that are new to the newest one.
@Suite("Messages of earlier releases")
struct WireCompatibilityTests {
    private static let folder = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .appending(path: "Golden/wire")
    static let releases = ["0.1.0"]

    private static func file(_ release: String) -> URL { folder.appending(path: "\(release).json") }

    private static func recorded(_ release: String) throws -> [String: JSONValue] {
        guard FileManager.default.fileExists(atPath: file(release).path()) else { return [:] }
        return try JSONDecoder().decode([String: JSONValue].self, from: try Data(contentsOf: file(release)))
    }

    @Test(
        "a message that a release wrote is read, and nothing of it is lost when it is written again",
        arguments: releases)
    func oldMessagesAreRead(_ release: String) throws {
        let samples = Dictionary(uniqueKeysWithValues: WireSample.all.map { ($0.name, $0) })
        let recorded = try Self.recorded(release)
        #expect(!recorded.isEmpty)
        for (name, message) in recorded.sorted(by: { $0.key < $1.key }) {
            let sample = try #require(samples[name], "\(name) is gone, and release \(release) still sends it")
            let rewritten = try sample.rewrite(try JSONEncoder().encode(message))
            let now = try JSONDecoder().decode(JSONValue.self, from: rewritten)
            #expect(Self.difference(message, now, at: name) == nil)
        }
    }

    @Test("a release finds in today's messages all that it wrote itself", arguments: releases)
    func newMessagesHaveAllOfTheOld(_ release: String) throws {
        let recorded = try Self.recorded(release)
        for sample in WireSample.all {
            guard let message = recorded[sample.name] else { continue }
            let now = try JSONDecoder().decode(JSONValue.self, from: try sample.encode())
            #expect(Self.difference(message, now, at: sample.name) == nil)
        }
    }

    @Test("every message is recorded")
    func allAreRecorded() throws {
        let newest = try #require(Self.releases.last)
        var recorded = try Self.recorded(newest)
        let missing = WireSample.all.filter { recorded[$0.name] == nil }
        if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] == "1" {
            for sample in missing {
                recorded[sample.name] = try JSONDecoder().decode(JSONValue.self, from: try sample.encode())
            }
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
            try FileManager.default.createDirectory(at: Self.folder, withIntermediateDirectories: true)
            try (try encoder.encode(recorded) + Data("\n".utf8)).write(to: Self.file(newest))
        } else {
            #expect(missing.map(\.name).isEmpty, "UPDATE_GOLDEN=1 records them")
        }
    }

    @Test("a field that is missing, moved or changed is named")
    func differencesAreFound() {
        let old: JSONValue = ["a": 1, "b": ["c": [1, 2]]]
        #expect(Self.difference(old, ["a": 1, "b": ["c": [1, 2], "new": true]], at: "m") == nil)
        #expect(Self.difference(old, ["a": 1, "b": ["d": [1, 2]]], at: "m") == "m.b.c is gone")
        #expect(Self.difference(old, ["a": "1", "b": ["c": [1, 2]]], at: "m") == "m.a is another")
        #expect(Self.difference(old, ["a": 1, "b": ["c": [1]]], at: "m") == "m.b.c is another")
    }

    /// What of `old` is not in `new`, which may have more.
    private static func difference(_ old: JSONValue, _ new: JSONValue, at path: String) -> String? {
        switch (old, new) {
        case (.object(let old), .object(let new)):
            for (key, value) in old.sorted(by: { $0.key < $1.key }) {
                guard let found = new[key] else { return "\(path).\(key) is gone" }
                if let why = difference(value, found, at: "\(path).\(key)") { return why }
            }
            return nil
        case (.array(let old), .array(let new)) where old.count == new.count:
            return zip(old, new).enumerated().lazy.compactMap { index, pair in
                difference(pair.0, pair.1, at: "\(path).\(index)")
            }.first
        default: return old == new ? nil : "\(path) is another"
        }
    }
}

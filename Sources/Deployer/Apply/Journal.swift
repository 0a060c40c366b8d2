package import FoundationEssentials
import SystemPackage
import Synchronization

/// What the tool did, in order, one JSON object a line, on the disk before the next step begins.
///
/// It is for people who want to know what happened; what must be done next always follows from facts.
package final class Journal: Sendable {
    package struct Entry: Codable, Sendable, Equatable {
        package enum Outcome: String, Codable, Sendable { case started, succeeded, failed }

        package var time: Date
        /// One run of the tool; every entry of that run has it.
        package var run: String
        package var step: String
        package var what: String
        package var outcome: Outcome
        /// Why a step failed. Never a secret.
        package var detail: String?

        package init(time: Date, run: String, step: String, what: String, outcome: Outcome, detail: String? = nil) {
            self.time = time
            self.run = run
            self.step = step
            self.what = what
            self.outcome = outcome
            self.detail = detail
        }
    }

    /// A journal that has grown beyond this many bytes is set aside as `<path>.old`.
    static let sizeLimit = 8 * 1024 * 1024

    package let path: String
    private let file: Mutex<FileDescriptor>

    /// Opens the journal to write at its end, and makes it if need be. A line that a crash cut short is ended first.
    package init(path: String) throws {
        if FileSystem.exists(path), try FileSystem.size(path) > Self.sizeLimit {
            try FileSystem.rename(path, to: path + ".old")
        }
        let file = try FileDescriptor.open(
            FilePath(path), .readWrite, options: [.create, .append, .closeOnExec], permissions: .ownerReadWrite)
        let size = try file.seek(offset: 0, from: .end)
        if size > 0 {
            var last: [UInt8] = [0]
            _ = try last.withUnsafeMutableBytes { try file.read(fromAbsoluteOffset: size - 1, into: $0) }
            if last != [0x0a] { try file.writeAll([0x0a]) }
        }
        self.file = Mutex(file)
        self.path = path
    }

    deinit {
        file.withLock { file in
            do { try file.close() } catch {
                // Every line was synchronised when it was written, so nothing is lost here.
            }
        }
    }

    /// Returns once the entry is on the disk.
    package func append(_ entry: Entry) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        var line = try encoder.encode(entry)
        line.append(0x0a)
        do {
            try file.withLock { file in
                try line.withUnsafeBytes { _ = try file.writeAll($0) }
                try file.synchronize()
            }
        } catch let code as Errno {
            throw FileFailure("write", path, code)
        }
    }

    /// Steps of the last run in `entries` that began and, because it was killed, never ended.
    package static func interrupted(_ entries: [Entry]) -> [String] {
        guard let run = entries.last?.run else { return [] }
        var open: [String] = []
        for entry in entries where entry.run == run {
            switch entry.outcome {
            case .started: open.append(entry.step)
            case .succeeded, .failed: open.removeAll { $0 == entry.step }
            }
        }
        return open
    }

    /// The entries of a journal file; lines that are cut short are left out.
    package static func read(_ path: String) throws -> [Entry] {
        guard FileSystem.exists(path) else { return [] }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        return try FileSystem.text(path).lines.compactMap { line in
            do { return try decoder.decode(Entry.self, from: Data(line.utf8)) } catch { return nil }
        }
    }
}

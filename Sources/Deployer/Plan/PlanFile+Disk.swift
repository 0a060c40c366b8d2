import FoundationEssentials
package import Topology

extension PlanFile {
    /// Writes it as JSON, readable by its owner only, at once or not at all.
    package func write(to path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        encoder.dateEncodingStrategy = .iso8601
        try PrivateFile.write(try encoder.encode(self) + Data("\n".utf8), to: path)
    }

    /// Reads a file that ``write(to:)`` wrote.
    /// - Throws: ``PlanFileFailure`` saying what is wrong with it.
    package static func read(from path: String) throws -> PlanFile {
        guard FileSystem.exists(path) else { throw PlanFileFailure(path: path, reason: "there is no such file") }
        guard try FileSystem.size(path) <= sizeLimit else {
            throw PlanFileFailure(path: path, reason: "it has more than \(sizeLimit / 1024 / 1024) MiB")
        }
        guard let data = FileManager.default.contents(atPath: path) else {
            throw PlanFileFailure(path: path, reason: "it can't be read")
        }
        let decoder = JSONDecoder()
        decoder.dateDecodingStrategy = .iso8601
        let version: Version
        do {
            version = try decoder.decode(Version.self, from: data)
        } catch {
            throw PlanFileFailure(path: path, reason: "it is no plan")
        }
        guard version.version == currentVersion else {
            throw PlanFileFailure(
                path: path,
                reason: "it has version \(version.version), this tool reads version \(currentVersion): make a new plan")
        }
        do {
            return try decoder.decode(PlanFile.self, from: data)
        } catch {
            throw PlanFileFailure(path: path, reason: "it is no whole plan")
        }
    }

    private struct Version: Decodable { var version: Int }
}

/// A file that holds no plan.
package struct PlanFileFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let path: String
    package let reason: String

    package var description: String { "the plan \(path) can't be used: \(reason)" }
}

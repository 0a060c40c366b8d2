import Deployer
import Foundation
import Glibc
import Testing
import TestSupport

/// The manual's list of commands is what the commands say of themselves. `UPDATE_GOLDEN=1` writes it anew.
@Suite(
    .enabled(if: access("\(TestCloud.binaries)/cellwright", X_OK) == 0, "cellwright is not built"),
    .timeLimit(.minutes(10)))
struct CommandsArticleTests {
    private struct Help: Decodable {
        struct Name: Decodable {
            let kind: String
            let name: String
        }

        struct Argument: Decodable {
            let kind: String
            let names: [Name]?
            let valueName: String?
            let abstract: String?
            let defaultValue: String?
            let allValues: [String]?
            let isOptional: Bool
            let isRepeating: Bool
            let shouldDisplay: Bool
        }

        struct Command: Decodable {
            let commandName: String
            let abstract: String?
            let discussion: String?
            let arguments: [Argument]?
            let subcommands: [Command]?
            let shouldDisplay: Bool?
        }

        let command: Command
    }

    private static let article = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent().appending(path: "Sources/Documentation.docc/Commands.md")
    private static let marker = "<!-- What follows is written by CommandsArticleTests with UPDATE_GOLDEN=1. -->\n"
    /// Explained once, at the top.
    private static let common: Set<String> = ["topology", "output", "version", "help"]

    @Test func everyCommandAndOptionIsInTheManual() async throws {
        let dump = try await LocalCommand(
            "\(TestCloud.binaries)/cellwright", ["--experimental-dump-help"], timeout: .seconds(60)
        ).check()
        let help = try JSONDecoder().decode(Help.self, from: Data(dump.utf8))
        let wanted = Self.sections(help.command, path: "").joined(separator: "\n")
        let text = try String(contentsOf: Self.article, encoding: .utf8)
        let split = try #require(text.firstRange(of: Self.marker), "the article has lost its marker")
        let written = String(text[split.upperBound...])
        if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] == "1", written != wanted {
            try (text[..<split.upperBound] + wanted).write(to: Self.article, atomically: true, encoding: .utf8)
            return
        }
        #expect(
            written == wanted,
            "Commands.md differs from what the commands say of themselves: run this test with UPDATE_GOLDEN=1")
    }

    @Test func everyExitStatusIsExplained() throws {
        let text = try String(contentsOf: Self.article, encoding: .utf8)
        let folder = Self.article.deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Executables/cellwright")
        let codes = try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil).flatMap {
            try String(contentsOf: $0, encoding: .utf8).matches(of: /static let \w+ = ExitCode\((\d+)\)/)
                .map { String($0.output.1) }
        }
        #expect(codes.count >= 3)
        for code in codes + ["0", "64"] { #expect(text.contains("| \(code) |"), "status \(code) is not explained") }
    }

    private static func sections(_ command: Help.Command, path: String) -> [String] {
        let name = path.isEmpty ? command.commandName : "\(path) \(command.commandName)"
        guard command.commandName != "help", command.shouldDisplay != false else { return [] }
        var sections: [String] = []
        if !path.isEmpty { sections.append(section(command, name)) }
        for child in command.subcommands ?? [] { sections += Self.sections(child, path: name) }
        return sections
    }

    private static func section(_ command: Help.Command, _ name: String) -> String {
        let arguments = (command.arguments ?? []).filter { argument in
            argument.shouldDisplay && !(argument.names ?? []).contains { common.contains($0.name) }
        }
        var lines = ["## \(name)", ""]
        if let abstract = command.abstract { lines.append(abstract) }
        if let discussion = command.discussion, !discussion.isEmpty { lines += ["", discussion] }
        if !arguments.isEmpty {
            lines += ["", "| | |", "|---|---|"]
            lines += arguments.map { argument in "| \(usage(argument)) | \(meaning(argument)) |" }
        }
        return (lines + [""]).joined(separator: "\n")
    }

    private static func usage(_ argument: Help.Argument) -> String {
        let value = argument.valueName.map { "<\($0)>" } ?? ""
        let names = (argument.names ?? []).map { name in name.kind == "short" ? "-\(name.name)" : "--\(name.name)" }
        let text =
            switch argument.kind {
            case "flag": names.joined(separator: ", ")
            case "option": names.joined(separator: ", ") + " " + value
            default: value
            }
        return "`\(text)\(argument.isRepeating ? "..." : "")`"
    }

    private static func meaning(_ argument: Help.Argument) -> String {
        var text = (argument.abstract ?? "").replacing("|", with: "\\|")
        if let values = argument.allValues, !values.isEmpty { text += " One of \(values.joined(separator: ", "))." }
        if let value = argument.defaultValue, argument.kind == "option" { text += " `\(value)` unless given." }
        return text
    }
}

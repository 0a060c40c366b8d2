import Foundation

/// The repository's own files, found from this file's place.
struct SourceTree {
    struct File {
        let path: String
        let lines: [Substring]

        /// The module that the file belongs to.
        var module: String {
            let parts = path.split(separator: "/").map(String.init)
            guard parts.count > 2 else { return "" }
            return parts[1] == "Executables" ? parts[2] : parts[1]
        }
    }

    static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func swiftFiles(under folder: String) throws -> [File] {
        let base = root.appending(path: folder)
        guard let walker = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil) else { return [] }
        var files: [File] = []
        for case let url as URL in walker where url.pathExtension == "swift" {
            let text = try String(contentsOf: url, encoding: .utf8)
            let path = folder + url.path.dropFirst(base.path.count)
            files.append(File(path: path, lines: text.split(separator: "\n", omittingEmptySubsequences: false)))
        }
        return files.sorted { $0.path < $1.path }
    }

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    /// Whether a line says why it breaks the rule named by `word`, on itself or on the line before.
    static func isExcused(_ lines: [Substring], _ index: Int, _ word: String) -> Bool {
        lines[max(0, index - 3)...index].contains { $0.contains(word) }
    }
}

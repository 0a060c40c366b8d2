import Foundation
import Testing

/// Compares JSON with a file of `Tests/Golden/ServerViews`, written anew when `UPDATE_GOLDEN` is set.
enum Golden {
    static func expect(_ json: Data, in name: String, sourceLocation: SourceLocation = #_sourceLocation) throws {
        let object = try JSONSerialization.jsonObject(with: json, options: .fragmentsAllowed)
        let pretty = try JSONSerialization.data(
            withJSONObject: object, options: [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes])
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "Golden/ServerViews/\(name).json")
        if ProcessInfo.processInfo.environment["UPDATE_GOLDEN"] != nil {
            try (pretty + Data("\n".utf8)).write(to: file)
            return
        }
        let expected = try String(decoding: Data(contentsOf: file), as: UTF8.self)
        #expect(String(decoding: pretty, as: UTF8.self) + "\n" == expected, sourceLocation: sourceLocation)
    }
}

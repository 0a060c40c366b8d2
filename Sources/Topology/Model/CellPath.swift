/// A cell's place in the tree: `/` is the root, `/eu/eu-1` a child of `/eu`.
package struct CellPath: Hashable, Sendable, Comparable, CustomStringConvertible {
    package static let root = CellPath(components: [])

    /// Names from the root down; empty for the root itself.
    package let components: [String]

    package init(components: [String]) { self.components = components }

    /// Reads `/` or `/a/b`; `nil` when the text does not begin with a slash or has an empty part.
    package init?(_ text: String) {
        guard text.hasPrefix("/") else { return nil }
        let parts = text.dropFirst().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        if parts == [""] {
            self = .root
            return
        }
        guard parts.allSatisfy({ !$0.isEmpty }) else { return nil }
        components = parts
    }

    package var description: String { "/" + components.joined(separator: "/") }

    /// The last component; `root` for the root.
    package var name: String { components.last ?? "root" }

    /// One word for unit, file, database and vhost names: `root`, `north`, `eu.eu-1`. Distinct for distinct paths, because
    /// a cell's name has no dot and `root` is reserved.
    package var slug: String { isRoot ? "root" : components.joined(separator: ".") }

    package var isRoot: Bool { components.isEmpty }

    /// `nil` for the root.
    package var parent: CellPath? { isRoot ? nil : CellPath(components: Array(components.dropLast())) }

    package func appending(_ name: String) -> CellPath { CellPath(components: components + [name]) }

    package static func < (left: CellPath, right: CellPath) -> Bool {
        left.components.lexicographicallyPrecedes(right.components)
    }
}

extension CellPath: Codable {
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let path = CellPath(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "not a cell path"))
        }
        self = path
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

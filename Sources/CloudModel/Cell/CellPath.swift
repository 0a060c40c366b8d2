/// Where a cell stands in the tree: `/` is the root, `/eu/eu-1` a child of `/eu`.
package struct CellPath: Hashable, Sendable, Comparable, CustomStringConvertible {
    /// A cell's own name: lower-case letters, digits and inner dashes, at most 63 characters (a DNS label).
    package static let nameLimit = 63

    package let components: [String]

    package static let root = CellPath(unchecked: [])

    private init(unchecked components: [String]) { self.components = components }

    /// `nil` when the text is no absolute path of valid cell names.
    package init?(_ text: String) {
        guard text.utf8.first == UInt8(ascii: "/") else { return nil }
        let names =
            text == "/"
            ? [] : text.utf8.dropFirst().split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard names.allSatisfy(Self.isValid) else { return nil }
        components = names.map { String(Substring($0)) }
    }

    package static func isValidName(_ name: String) -> Bool { isValid(name.utf8) }

    private static func isValid(_ name: some BidirectionalCollection<UInt8>) -> Bool {
        guard (1...nameLimit).contains(name.count), name.first != dash, name.last != dash else { return false }
        return name.allSatisfy {
            (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0) || (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0)
                || $0 == dash
        }
    }

    private static let dash = UInt8(ascii: "-")

    package var isRoot: Bool { components.isEmpty }
    package var name: String { components.last ?? "root" }
    package var parent: CellPath? { isRoot ? nil : CellPath(unchecked: Array(components.dropLast())) }

    package func child(_ name: String) -> CellPath? {
        Self.isValidName(name) ? CellPath(unchecked: components + [name]) : nil
    }

    /// Whether `other` is this cell or lies below it.
    package func holds(_ other: CellPath) -> Bool { other.components.starts(with: components) }

    /// The child of this cell that is `other` or that `other` lies below; `nil` when it does not lie below this cell.
    package func child(toward other: CellPath) -> CellPath? {
        guard holds(other), other != self else { return nil }
        return CellPath(unchecked: Array(other.components.prefix(components.count + 1)))
    }

    package var description: String { "/" + components.joined(separator: "/") }

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

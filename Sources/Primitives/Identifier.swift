package import FoundationEssentials

/// A UUID that knows what it identifies, so that a port's id can't be handed in for a server's.
///
/// On the wire it is the lower-case UUID text that OpenStack uses.
package struct Identifier<Subject>: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let uuid: UUID

    package init(_ uuid: UUID) { self.uuid = uuid }

    /// Reads UUID text, with or without dashes as Nova accepts it; `nil` for anything else.
    package init?(_ text: some StringProtocol) {
        if let uuid = UUID(uuidString: String(text)) {
            self.uuid = uuid
            return
        }
        guard text.utf8.count == 32, text.utf8.allSatisfy({ UInt8(ascii: "-") != $0 }) else { return nil }
        var dashed = ""
        for (index, character) in text.enumerated() {
            if [8, 12, 16, 20].contains(index) { dashed.append("-") }
            dashed.append(character)
        }
        guard let uuid = UUID(uuidString: dashed) else { return nil }
        self.uuid = uuid
    }

    package var description: String {
        let digits: StaticString = "0123456789abcdef"
        return withUnsafeBytes(of: uuid.uuid) { bytes in
            String(unsafeUninitializedCapacity: 36) { text in
                var index = 0
                for (position, byte) in bytes.enumerated() {
                    if position == 4 || position == 6 || position == 8 || position == 10 {
                        text[index] = UInt8(ascii: "-")
                        index += 1
                    }
                    text[index] = digits.utf8Start[Int(byte >> 4)]
                    text[index + 1] = digits.utf8Start[Int(byte & 15)]
                    index += 2
                }
                return index
            }
        }
    }

    /// The same without dashes, as identity's project and user ids are written.
    package var hex: String { description.filter { $0 != "-" } }

    package static func < (left: Self, right: Self) -> Bool { left.description < right.description }
}

extension Identifier: Codable {
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let identifier = Self(text) else {
            throw DecodingError.dataCorrupted(
                .init(codingPath: decoder.codingPath, debugDescription: "not a UUID"))
        }
        self = identifier
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

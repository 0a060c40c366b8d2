/// An IPv4 address as a number, for arithmetic inside a network.
package struct IPv4Address: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let number: UInt32

    package init(number: UInt32) { self.number = number }

    /// Reads dotted-quad text without leading zeros; `nil` for anything else.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var number: UInt32 = 0
        for part in parts {
            guard (1...3).contains(part.utf8.count), part.utf8.allSatisfy({ (0x30...0x39).contains($0) }),
                part.utf8.count == 1 || part.utf8.first != 0x30, let octet = UInt8(part)
            else { return nil }
            number = number << 8 | UInt32(octet)
        }
        self.number = number
    }

    package var description: String {
        "\(number >> 24).\(number >> 16 & 255).\(number >> 8 & 255).\(number & 255)"
    }

    package static func < (left: IPv4Address, right: IPv4Address) -> Bool { left.number < right.number }
}

/// A network in CIDR notation. The address part is the network's own (host bits are zero).
package struct IPv4Network: Hashable, Sendable, CustomStringConvertible {
    package let address: IPv4Address
    /// 0 to 32.
    package let prefixLength: Int

    init(address: IPv4Address, prefixLength: Int) {
        self.address = address
        self.prefixLength = prefixLength
    }

    /// Reads `10.77.0.0/24`; `nil` when it is not a network address with a length from 8 to 30.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(parts[0]), let length = Int(parts[1]),
            (8...30).contains(length), String(length) == parts[1],
            address.number & (UInt32.max >> UInt32(length)) == 0
        else { return nil }
        self.address = address
        prefixLength = length
    }

    package var description: String { "\(address)/\(prefixLength)" }

    /// How many addresses hosts can have: all but the network's own and the broadcast address.
    package var hostCount: Int { (1 << (32 - prefixLength)) - 2 }

    /// The `index`th address: 1 is the first host's.
    package func host(_ index: Int) -> IPv4Address {
        IPv4Address(number: address.number &+ UInt32(truncatingIfNeeded: index))
    }

    package func contains(_ other: IPv4Address) -> Bool {
        other.number & ~(UInt32.max >> UInt32(prefixLength)) == address.number
    }
}

extension IPv4Network: Codable {
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let network = IPv4Network(text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "not a network"))
        }
        self = network
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}

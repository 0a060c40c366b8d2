/// A dotted IPv4 address.
package struct IPv4Address: Hashable, Sendable, Comparable, CustomStringConvertible {
    package let bits: UInt32

    package init(bits: UInt32) { self.bits = bits }

    /// Four decimal numbers without leading zeros; nil for anything else.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var bits: UInt32 = 0
        for part in parts {
            guard part.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
                part.utf8.count <= 3, part.utf8.count == 1 || part.first != "0", let byte = UInt8(part)
            else { return nil }
            bits = bits << 8 | UInt32(byte)
        }
        self.bits = bits
    }

    package var description: String {
        "\(bits >> 24).\(bits >> 16 & 255).\(bits >> 8 & 255).\(bits & 255)"
    }

    package static func < (left: Self, right: Self) -> Bool { left.bits < right.bits }
}

/// A block of addresses: `10.0.0.0/24`.
package struct IPv4Prefix: Hashable, Sendable, CustomStringConvertible {
    package let network: IPv4Address
    package let length: Int

    /// Bits beyond the length become zero.
    package init?(address: IPv4Address, length: Int) {
        guard (0...32).contains(length) else { return nil }
        self.length = length
        network = IPv4Address(bits: address.bits & Self.mask(length))
    }

    /// `a.b.c.d/n`, or an address alone for a block of one.
    package init?(_ text: some StringProtocol) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let address = IPv4Address(parts[0]) else { return nil }
        guard parts.count == 2 else {
            self.init(address: address, length: 32)
            return
        }
        guard parts[1].utf8.count <= 2, let length = UInt8(parts[1]) else { return nil }
        self.init(address: address, length: Int(length))
    }

    package var last: IPv4Address { IPv4Address(bits: network.bits | ~Self.mask(length)) }
    package var description: String { "\(network)/\(length)" }

    package func contains(_ address: IPv4Address) -> Bool { (network...last).contains(address) }
    package func overlaps(_ other: IPv4Prefix) -> Bool { network <= other.last && other.network <= last }

    /// What hosts can have: without the network's and the broadcast address, except in blocks of one or two.
    package var hosts: ClosedRange<IPv4Address> {
        guard length < 31 else { return network...last }
        return IPv4Address(bits: network.bits + 1)...IPv4Address(bits: last.bits - 1)
    }

    /// The mask of prefixes of that length (0 to 32), as dotted text shows it.
    package static func netmask(_ length: Int) -> IPv4Address { IPv4Address(bits: mask(min(32, max(0, length)))) }

    private static func mask(_ length: Int) -> UInt32 { length == 0 ? 0 : ~UInt32(0) << UInt32(32 - length) }
}

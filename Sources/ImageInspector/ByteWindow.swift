/// The start of an image, read without ever going past its end.
struct ByteWindow: Sendable {
    private(set) var bytes: [UInt8]

    init(_ bytes: [UInt8] = []) { self.bytes = bytes }

    var count: Int { bytes.count }

    mutating func append(_ more: some Collection<UInt8>) { bytes.append(contentsOf: more) }

    func byte(at offset: Int) -> UInt8? {
        offset >= 0 && offset < bytes.count ? bytes[offset] : nil
    }

    /// The big-endian number at `offset`, or `nil` where the window ends before it does.
    func bigEndian<Number: FixedWidthInteger & UnsignedInteger>(_ type: Number.Type, at offset: Int) -> Number? {
        let width = Number.bitWidth / 8
        guard offset >= 0, width <= bytes.count, offset <= bytes.count - width else { return nil }
        return bytes[offset..<offset + width].reduce(0) { $0 << 8 | Number($1) }
    }

    /// Whether the bytes at `offset` are just these.
    func has(_ mark: [UInt8], at offset: Int = 0) -> Bool {
        guard offset >= 0, mark.count <= bytes.count, offset <= bytes.count - mark.count else { return false }
        return bytes[offset..<offset + mark.count].elementsEqual(mark)
    }

    func has(_ text: StaticString, at offset: Int = 0) -> Bool {
        text.withUTF8Buffer { has(Array($0), at: offset) }
    }
}

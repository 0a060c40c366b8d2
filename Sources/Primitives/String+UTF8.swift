extension String {
    /// The text that `bytes` hold; `nil` when they are not UTF-8.
    ///
    /// The standard library's `String(validating:as:)` looks its encoding up anew for each text, which took a sixth of what
    /// reading a server from JSON cost. Most texts are ASCII, and any ASCII is UTF-8.
    package init?(utf8 bytes: UnsafeRawBufferPointer) {
        var seen: UInt8 = 0
        for byte in bytes { seen |= byte }
        if seen < 0x80 {
            self.init(decoding: bytes, as: UTF8.self)
        } else {
            self.init(validating: bytes, as: UTF8.self)
        }
    }
}

/// Reads the documents that libvirt answers with. It is strict about nesting, expands the five named entities and numeric
/// ones, skips comments and processing instructions, and knows no document types (so none can be abused).
struct XMLParser {
    enum Failure: Error, Equatable {
        /// The byte at which the text stops making sense.
        case malformed(at: Int)
        case tooDeep
        case tooLarge
    }

    static let depthLimit = 64
    /// Capabilities of a large host are some hundred KiB.
    static let byteLimit = 8 << 20

    private let bytes: [UInt8]
    private var position = 0

    /// The document's root element.
    static func parse(_ text: String) throws(Failure) -> XMLElement {
        guard text.utf8.count <= byteLimit else { throw .tooLarge }
        var parser = XMLParser(bytes: Array(text.utf8))
        try parser.skipMiscellany()
        let root = try parser.element(depth: 0)
        try parser.skipMiscellany()
        guard parser.position == parser.bytes.count else { throw parser.failure }
        return root
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private var failure: Failure { .malformed(at: position) }
    private var current: UInt8? { position < bytes.count ? bytes[position] : nil }

    private func starts(with text: StaticString) -> Bool {
        text.withUTF8Buffer { mark in
            bytes.count - position >= mark.count && bytes[position..<position + mark.count].elementsEqual(mark)
        }
    }

    private mutating func expect(_ text: StaticString) throws(Failure) {
        guard starts(with: text) else { throw failure }
        position += text.utf8CodeUnitCount
    }

    private mutating func skipBlanks() {
        while let byte = current, byte == 0x20 || (0x09...0x0D).contains(byte) { position += 1 }
    }

    private mutating func skip(past end: StaticString) throws(Failure) {
        while position < bytes.count {
            if starts(with: end) {
                position += end.utf8CodeUnitCount
                return
            }
            position += 1
        }
        throw failure
    }

    /// Skips a comment or a processing instruction if one is here.
    private mutating func skipAside() throws(Failure) -> Bool {
        if starts(with: "<!--") {
            try skip(past: "-->")
        } else if starts(with: "<?") {
            try skip(past: "?>")
        } else {
            return false
        }
        return true
    }

    private mutating func skipMiscellany() throws(Failure) {
        repeat { skipBlanks() } while try skipAside()
    }

    private mutating func name() throws(Failure) -> String {
        let start = position
        let ends: Set<UInt8> = [0x20, 0x09, 0x0A, 0x0D, 0x2F, 0x3E, 0x3D, 0x3C, 0x26, 0x22, 0x27]
        while let byte = current, !ends.contains(byte) { position += 1 }
        guard position > start else { throw failure }
        return String(decoding: bytes[start..<position], as: UTF8.self)
    }

    private mutating func element(depth: Int) throws(Failure) -> XMLElement {
        guard depth < Self.depthLimit else { throw .tooDeep }
        try expect("<")
        let name = try name()
        var attributes: [XMLElement.Attribute] = []
        while true {
            skipBlanks()
            if starts(with: "/>") {
                position += 2
                return XMLElement(parsed: name, attributes)
            }
            if starts(with: ">") {
                position += 1
                break
            }
            attributes.append(try attribute())
        }
        var element = XMLElement(parsed: name, attributes)
        try content(of: &element, depth: depth)
        try expect("</")
        guard try self.name() == name else { throw failure }
        skipBlanks()
        try expect(">")
        return element
    }

    private mutating func attribute() throws(Failure) -> XMLElement.Attribute {
        let name = try name()
        skipBlanks()
        try expect("=")
        skipBlanks()
        guard let quote = current, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\"") else { throw failure }
        position += 1
        let value = try text { $0 == quote }
        guard current == quote else { throw failure }
        position += 1
        return XMLElement.Attribute(name: name, value: value)
    }

    private mutating func content(of element: inout XMLElement, depth: Int) throws(Failure) {
        while current != nil {
            if starts(with: "</") { return }
            if starts(with: "<![CDATA[") {
                position += 9
                let start = position
                try skip(past: "]]>")
                element.nodes.append(.text(String(decoding: bytes[start..<position - 3], as: UTF8.self)))
            } else if try skipAside() {
                continue
            } else if current == UInt8(ascii: "<") {
                element.nodes.append(.element(try self.element(depth: depth + 1)))
            } else {
                element.nodes.append(.text(try text { $0 == UInt8(ascii: "<") }))
            }
        }
        throw failure
    }

    /// Text up to a byte that ends it, entities expanded.
    private mutating func text(until isEnd: (UInt8) -> Bool) throws(Failure) -> String {
        var output: [UInt8] = []
        while let byte = current, !isEnd(byte) {
            if byte == UInt8(ascii: "&") {
                output += Array(String(try entity()).utf8)
            } else {
                output.append(byte)
                position += 1
            }
        }
        return String(decoding: output, as: UTF8.self)
    }

    private mutating func entity() throws(Failure) -> Unicode.Scalar {
        let longest = 10
        guard let end = bytes[position...].prefix(longest).firstIndex(of: UInt8(ascii: ";")) else { throw failure }
        let text = String(decoding: bytes[(position + 1)..<end], as: UTF8.self)
        let scalar: Unicode.Scalar? =
            switch text {
            case "amp": "&"
            case "lt": "<"
            case "gt": ">"
            case "quot": "\""
            case "apos": "'"
            default:
                if text.hasPrefix("#x") {
                    UInt32(text.dropFirst(2), radix: 16).flatMap(Unicode.Scalar.init)
                } else if text.hasPrefix("#") {
                    UInt32(text.dropFirst()).flatMap(Unicode.Scalar.init)
                } else {
                    nil
                }
            }
        guard let scalar else { throw failure }
        position = end + 1
        return scalar
    }
}

extension String {
    init(_ scalar: Unicode.Scalar) {
        self.init()
        unicodeScalars.append(scalar)
    }
}

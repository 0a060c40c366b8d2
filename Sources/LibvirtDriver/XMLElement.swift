/// An XML element, as much of one as libvirt's documents need: no namespaces beyond what the names spell out.
struct XMLElement: Sendable, Equatable {
    enum Node: Sendable, Equatable {
        case element(XMLElement)
        case text(String)
    }

    let name: String
    /// In the order in which they are written.
    var attributes: [Attribute]
    var nodes: [Node]

    struct Attribute: Sendable, Equatable {
        let name: String
        let value: String
    }

    init(
        _ name: String, _ attributes: KeyValuePairs<String, String> = [:], text: String? = nil,
        _ children: [XMLElement] = []
    ) {
        self.name = name
        self.attributes = attributes.map { Attribute(name: $0.key, value: $0.value) }
        nodes = (text.map { [.text($0)] } ?? []) + children.map { .element($0) }
    }

    init(_ name: String, _ children: [XMLElement]) { self.init(name, [:], text: nil, children) }

    init(parsed name: String, _ attributes: [Attribute]) {
        self.name = name
        self.attributes = attributes
        nodes = []
    }

    var children: [XMLElement] {
        nodes.compactMap {
            switch $0 {
            case .element(let child): child
            case .text: nil
            }
        }
    }

    /// The text directly inside, without its surrounding blanks.
    var text: String {
        let parts = nodes.map {
            switch $0 {
            case .element: ""
            case .text(let text): text
            }
        }
        return String(parts.joined().trimmingBlanks())
    }

    subscript(attribute name: String) -> String? { attributes.first { $0.name == name }?.value }

    /// All elements at this path below.
    func all(_ path: String...) -> [XMLElement] {
        path.reduce([self]) { found, name in found.flatMap { $0.children.filter { $0.name == name } } }
    }

    // MARK: Writing

    /// The element as one line.
    func rendered() -> String {
        var output = ""
        render(into: &output)
        return output
    }

    private func render(into output: inout String) {
        output += "<\(name)"
        for attribute in attributes { output += " \(attribute.name)='\(Self.escaped(attribute.value))'" }
        guard !nodes.isEmpty else {
            output += "/>"
            return
        }
        output += ">"
        for node in nodes {
            switch node {
            case .element(let child): child.render(into: &output)
            case .text(let text): output += Self.escaped(text)
            }
        }
        output += "</\(name)>"
    }

    /// Text that can stand in content or in an attribute. What XML 1.0 cannot hold at all becomes U+FFFD.
    static func escaped(_ text: String) -> String {
        var output = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": output += "&amp;"
            case "<": output += "&lt;"
            case ">": output += "&gt;"
            case "\"": output += "&quot;"
            case "'": output += "&apos;"
            case "\t", "\n", "\r": output += "&#\(scalar.value);"
            default:
                let isForbidden = scalar.value < 0x20 || scalar.value == 0xFFFE || scalar.value == 0xFFFF
                output.unicodeScalars.append(isForbidden ? "\u{FFFD}" : scalar)
            }
        }
        return output
    }
}

extension StringProtocol {
    /// Without blanks and line ends at both ends.
    func trimmingBlanks() -> SubSequence {
        let tail = drop { $0.isWhitespace }
        guard let last = tail.lastIndex(where: { !$0.isWhitespace }) else { return tail.prefix(0) }
        return tail[...last]
    }
}

/// Checks a document against a ``Shape``: keys, types, formats, choices, bounds. Names and references are not its business.
struct ShapeChecker {
    private(set) var problems: [TopologyProblem] = []

    mutating func check(_ node: DocumentNode, _ name: Shape.Name) {
        let shape = Shape.named(name)
        guard case .mapping(let members) = node.content else {
            report(node, .wrongType, "\(shape.noun) must be a mapping, not \(node.kind.rawValue)")
            return
        }
        for member in members {
            guard let field = shape.fields.first(where: { $0.key.rawValue == member.key }) else {
                reportUnknown(member, in: shape)
                continue
            }
            check(member.value, field.type, "\"\(member.key)\"")
        }
        for field in shape.fields where field.isRequired && !members.contains(where: { $0.key == field.key.rawValue }) {
            report(node, .missingKey, "\(shape.noun) needs the key \"\(field.key.rawValue)\"")
        }
    }

    private mutating func check(_ node: DocumentNode, _ type: Shape.FieldType, _ what: String) {
        switch type {
        case .shape(let name):
            guard node.kind == .mapping else { return reportType(node, what, "a mapping") }
            check(node, name)
        case .list(let element):
            guard node.kind == .sequence else { return reportType(node, what, "a list") }
            for item in node.items { check(item, element, "an item of \(what)") }
        case .either(let first, let second):
            check(node, node.kind == .sequence || node.kind == .mapping ? second : first, what)
        case .text(let format):
            guard let text = node.text else { return reportType(node, what, "a text") }
            check(node, text, format, what)
        case .integer(let range):
            guard node.kind == .integer else { return reportType(node, what, "an integer") }
            guard let value = node.integer, range.contains(value) else {
                return report(
                    node, .badValue, "\(what) must be from \(range.lowerBound) to \(range.upperBound)")
            }
        case .boolean:
            guard node.kind == .boolean else { return reportType(node, what, "true or false") }
        case .choice(let choices):
            guard let text = node.text else { return reportType(node, what, Self.list(choices)) }
            guard choices.contains(text) else {
                return report(
                    node, .badValue, "\(what) must be \(Self.list(choices)), not \"\(text)\"",
                    suggestion: choices.count > 1 ? NearestName.of(text, among: choices) : nil)
            }
        case .labels:
            checkLabels(node, what)
        }
    }

    private mutating func check(_ node: DocumentNode, _ text: String, _ format: TextFormat, _ what: String) {
        if format == .hostPattern || format == .addressPattern {
            do {
                _ = try HostRange.expand(text)
            } catch {
                let reason =
                    switch error {
                    case .malformed: "a range must look like [01-40]"
                    case .backwards: "a range must not run backwards"
                    case .tooMany: "a range must stand for at most \(HostRange.limit) names"
                    }
                return report(node, .badValue, "\(what): \(reason)")
            }
        }
        guard format.accepts(text) else { return report(node, .badValue, "\(what) \(format.rule)") }
    }

    private mutating func checkLabels(_ node: DocumentNode, _ what: String) {
        guard node.kind == .mapping else { return reportType(node, what, "a mapping") }
        for member in node.members {
            if member.value.text == nil { reportType(member.value, "\"\(member.key)\" in \(what)", "a text") }
        }
    }

    private mutating func reportUnknown(_ member: DocumentNode.Member, in shape: Shape) {
        let known = shape.fields.map(\.key.rawValue)
        let problem: (String, String?)
        if member.key == "<<" {
            problem = ("merge keys are not supported in \(shape.noun); use defaults, which children inherit", nil)
        } else if let near = NearestName.of(member.key, among: known) {
            problem = ("unknown key \"\(member.key)\" in \(shape.noun)", near)
        } else {
            problem = (
                "unknown key \"\(member.key)\" in \(shape.noun); known are \(known.joined(separator: ", "))", nil
            )
        }
        problems.append(
            TopologyProblem(
                line: member.keyPosition.line, column: member.keyPosition.column, rule: .unknownKey,
                message: problem.0, suggestion: problem.1))
    }

    private mutating func reportType(_ node: DocumentNode, _ what: String, _ wanted: String) {
        let quote = wanted == "a text" && [.integer, .number, .boolean].contains(node.kind) ? "; put it in quotes" : ""
        report(node, .wrongType, "\(what) must be \(wanted), not \(node.kind.rawValue)\(quote)")
    }

    private mutating func report(
        _ node: DocumentNode, _ rule: TopologyProblem.Rule, _ message: String, suggestion: String? = nil
    ) {
        problems.append(
            TopologyProblem(
                line: node.position.line, column: node.position.column, rule: rule, message: message,
                suggestion: suggestion))
    }

    private static func list(_ choices: [String]) -> String {
        guard let last = choices.last, choices.count > 1 else { return choices.first ?? "" }
        return choices.dropLast().joined(separator: ", ") + " or " + last
    }
}

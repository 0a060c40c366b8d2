import Foundation
import Primitives

/// As much of JSON Schema draft 7 as the published schema uses; a keyword that it does not know fails the test.
struct JSONSchema {
    struct Unknown: Error { let keyword: String }

    private let root: JSONValue

    init(_ text: String) throws { root = try JSONDecoder().decode(JSONValue.self, from: Data(text.utf8)) }

    func accepts(_ value: JSONValue) throws -> Bool { try accepts(value, root) }

    private func accepts(_ value: JSONValue, _ schema: JSONValue) throws -> Bool {
        for (keyword, rule) in schema.object ?? [:] where try !holds(keyword, rule, value, schema) { return false }
        return true
    }

    private func holds(_ keyword: String, _ rule: JSONValue, _ value: JSONValue, _ schema: JSONValue) throws -> Bool {
        switch keyword {
        case "$schema", "title", "description", "definitions": return true
        case "$ref":
            let name = rule.string?.split(separator: "/").last.map(String.init) ?? ""
            guard let definition = root["definitions"]?[name] else { throw Unknown(keyword: "\(rule)") }
            return try accepts(value, definition)
        case "type": return isOfType(rule.string ?? "", value)
        case "enum": return rule.array?.contains(value) == true
        case "minimum": return try number(value).map { $0 >= (try number(rule) ?? 0) } ?? true
        case "maximum": return try number(value).map { $0 <= (try number(rule) ?? 0) } ?? true
        case "pattern":
            guard let text = value.string else { return true }
            let pattern = try NSRegularExpression(pattern: rule.string ?? "")
            return pattern.firstMatch(in: text, range: NSRange(text.startIndex..., in: text)) != nil
        case "items": return try (value.array ?? []).allSatisfy { try accepts($0, rule) }
        case "anyOf": return try (rule.array ?? []).contains { try accepts(value, $0) }
        case "allOf": return try (rule.array ?? []).allSatisfy { try accepts(value, $0) }
        case "required":
            guard let object = value.object else { return true }
            return (rule.array ?? []).allSatisfy { key in key.string.map { object[$0] != nil } ?? false }
        case "properties":
            guard let object = value.object else { return true }
            return try object.allSatisfy { key, member in
                guard let property = rule[key] else { return true }
                return try accepts(member, property)
            }
        case "additionalProperties":
            guard let object = value.object else { return true }
            let others = object.filter { schema["properties"]?[$0.key] == nil }
            if rule == .bool(false) { return others.isEmpty }
            return try others.values.allSatisfy { try accepts($0, rule) }
        default: throw Unknown(keyword: keyword)
        }
    }

    private func number(_ value: JSONValue) throws -> Int? { value.integer.map(Int.init) }

    private func isOfType(_ type: String, _ value: JSONValue) -> Bool {
        switch type {
        case "object": value.object != nil
        case "array": value.array != nil
        case "string": value.string != nil
        case "integer": value.integer != nil
        case "boolean": value == .bool(true) || value == .bool(false)
        default: false
        }
    }
}

import FoundationEssentials
import Primitives

/// The published JSON Schema (draft 7, which editors know best), made from the same shapes that the checks use.
package enum SchemaDocument {
    /// The schema's text, as `deploy/topology.schema.json` holds it.
    package static func text() throws -> String {
        var definitions: [String: JSONValue] = [:]
        for name in Shape.Name.allCases where name != .topology { definitions[name.rawValue] = object(.named(name)) }
        var root = object(.named(.topology)).object ?? [:]
        root["$schema"] = .string("http://json-schema.org/draft-07/schema#")
        root["title"] = .string("Cellwright topology")
        root["definitions"] = .object(definitions)
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        return String(decoding: try encoder.encode(JSONValue.object(root)), as: UTF8.self) + "\n"
    }

    private static func object(_ shape: Shape) -> JSONValue {
        var properties: [String: JSONValue] = [:]
        for field in shape.fields {
            var property = value(field.type)
            property["description"] = .string(field.summary)
            // Beside a reference draft 7 ignores everything: wrap it.
            if let reference = property.removeValue(forKey: "$ref") {
                property["allOf"] = .array([.object(["$ref": reference])])
            }
            properties[field.key.rawValue] = .object(property)
        }
        var object: [String: JSONValue] = [
            "type": .string("object"), "description": .string(shape.summary),
            "properties": .object(properties), "additionalProperties": .bool(false),
        ]
        let required = shape.fields.filter(\.isRequired).map { JSONValue.string($0.key.rawValue) }
        if !required.isEmpty { object["required"] = .array(required) }
        return .object(object)
    }

    private static func value(_ type: Shape.FieldType) -> [String: JSONValue] {
        switch type {
        case .text(let format):
            var value: [String: JSONValue] = ["type": .string("string")]
            if let pattern = format.pattern { value["pattern"] = .string(pattern) }
            return value
        case .integer(let range):
            return [
                "type": .string("integer"), "minimum": .integer(Int64(range.lowerBound)),
                "maximum": .integer(Int64(range.upperBound)),
            ]
        case .boolean: return ["type": .string("boolean")]
        case .choice(let choices): return ["enum": .array(choices.map(JSONValue.string))]
        case .shape(let name): return ["$ref": .string("#/definitions/\(name.rawValue)")]
        case .list(let element): return ["type": .string("array"), "items": .object(value(element))]
        case .either(let first, let second):
            return ["anyOf": .array([.object(value(first)), .object(value(second))])]
        case .labels:
            return ["type": .string("object"), "additionalProperties": .object(["type": .string("string")])]
        }
    }
}

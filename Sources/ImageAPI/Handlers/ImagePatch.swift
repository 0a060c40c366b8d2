import HTTPKit
import Primitives

/// A JSON patch (RFC 6902) as Glance takes it: add, replace and remove, of whole attributes.
struct ImagePatch {
    static let mediaType = "application/openstack-images-v2.1-json-patch"

    private enum Operation {
        case add(String, JSONValue)
        case replace(String, JSONValue)
        case remove(String)
    }

    /// Operations of one patch, at most.
    private static let limit = 1024

    private let operations: [Operation]

    /// - Throws: a 400 for what is no patch.
    init(_ body: JSONValue) throws(APIFault) {
        guard let elements = body.array, elements.count <= Self.limit else {
            throw .badRequest("Request body must be a JSON array of operation objects.")
        }
        var operations: [Operation] = []
        for (index, element) in elements.enumerated() {
            var entry = try JSONObjectReader(element, path: "[\(index)]")
            let name = try entry.requiredString("op")
            let key = try Self.key(try entry.requiredString("path"))
            switch name {
            case "add": operations.append(.add(key, try entry.requiredValue("value")))
            case "replace": operations.append(.replace(key, try entry.requiredValue("value")))
            case "remove": operations.append(.remove(key))
            default:
                throw .badRequest("Operations must be one of 'add', 'replace', 'remove', not '\(name.prefix(40))'.")
            }
            try entry.finish()
        }
        self.operations = operations
    }

    func apply(to editor: inout ImageEditor) throws(APIFault) {
        for operation in operations {
            switch operation {
            case .add(let key, let value): try editor.set(key, value)
            case .replace(let key, let value):
                guard editor.has(key) || key == "locations" else { throw .conflict("Property \(key) does not exist.") }
                try editor.set(key, value)
            case .remove(let key): try editor.remove(key)
            }
        }
    }

    /// The attribute that a JSON pointer (RFC 6901) names.
    private static func key(_ path: String) throws(APIFault) -> String {
        guard path.hasPrefix("/"), path.count > 1 else {
            throw .badRequest("Pointer '\(path.prefix(100))' does not start with '/'.")
        }
        let raw = path.dropFirst()
        guard !raw.contains("/") else {
            throw .badRequest("Pointer '\(path.prefix(100))' names more than an attribute.")
        }
        return String(raw.replacing("~1", with: "/").replacing("~0", with: "~"))
    }
}

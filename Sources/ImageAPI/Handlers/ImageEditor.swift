import CloudModel
import HTTPKit
import HTTPTypes
import Primitives

/// Sets and removes what clients may change of an image, one attribute at a time, with the checks of each.
struct ImageEditor {
    private static let containerFormats: Set<String> = [
        "bare", "ami", "ari", "aki", "ovf", "ova", "docker", "compressed",
    ]
    private static let diskFormats: Set<String> = ["raw", "qcow2"]
    private static let readOnly: Set<String> = [
        "status", "created_at", "updated_at", "deleted", "deleted_at", "checksum", "os_hash_algo", "os_hash_value",
        "size",
        "virtual_size", "direct_url", "self", "file", "schema", "stores",
    ]
    /// Of the service itself, so they can be changed and never removed.
    private static let base: Set<String> = [
        "id", "name", "visibility", "owner", "disk_format", "container_format", "min_disk", "min_ram", "protected",
        "os_hidden", "tags",
    ]
    private static let nameLimit = 255
    private static let valueLimit = 65_535
    /// Properties, and tags, of one image.
    private static let countLimit = 128

    private(set) var image: Image
    let isAdmin: Bool
    /// Still being made: its formats can be said, and its id.
    let isNew: Bool

    init(_ image: Image, isAdmin: Bool, isNew: Bool = false) {
        self.image = image
        self.isAdmin = isAdmin
        self.isNew = isNew
    }

    /// Whether the image has an attribute of this name.
    func has(_ key: String) -> Bool {
        Self.base.contains(key) || Self.readOnly.contains(key) || image.properties[key] != nil
    }

    mutating func set(_ key: String, _ value: JSONValue) throws(APIFault) {
        switch key {
        case "name": image.name = try nullableText(key, value, limit: Self.nameLimit)
        case "visibility": try setVisibility(value)
        case "owner": try setOwner(value)
        case "disk_format": try setFormat(key, value, of: Self.diskFormats, \.diskFormat)
        case "container_format": try setFormat(key, value, of: Self.containerFormats, \.containerFormat)
        case "min_disk": image.minimumDiskGiB = try count(key, value)
        case "min_ram": image.minimumMemoryMiB = try count(key, value)
        case "protected": image.isProtected = try flag(key, value)
        case "os_hidden": image.isHidden = try flag(key, value)
        case "tags": image.tags = try tags(value)
        case "id":
            guard isNew, let id = value.string.flatMap({ ImageID($0) }) else {
                throw isNew ? Self.invalid(key, "is not a UUID") : Self.readOnly(key)
            }
            image.id = id
        default: try setProperty(key, value)
        }
    }

    mutating func remove(_ key: String) throws(APIFault) {
        guard !Self.readOnly.contains(key) else { throw Self.readOnly(key) }
        guard !Self.base.contains(key) else { throw .forbidden("Property \(key) may not be removed.") }
        guard image.properties.removeValue(forKey: key) != nil else {
            throw .conflict("Property \(key) does not exist.")
        }
    }

    mutating func addTag(_ tag: String) throws(APIFault) {
        image.tags = try tags(.array((image.tags + [tag]).map { .string($0) }))
    }

    /// False when the image has no such tag.
    mutating func removeTag(_ tag: String) -> Bool {
        let count = image.tags.count
        image.tags.removeAll { $0 == tag }
        return image.tags.count < count
    }

    // MARK: single attributes

    private mutating func setVisibility(_ value: JSONValue) throws(APIFault) {
        guard let visibility = value.string.flatMap({ ImageVisibility(rawValue: $0) }) else {
            throw Self.invalid("visibility", "is not one of 'community', 'public', 'private', 'shared'")
        }
        guard visibility != .public || image.visibility == .public || isAdmin else {
            throw .forbidden("You are not authorized to complete publicize_image action.")
        }
        image.visibility = visibility
    }

    private mutating func setOwner(_ value: JSONValue) throws(APIFault) {
        let owner = try nullableText("owner", value, limit: Self.nameLimit).map { ProjectID($0) }
        guard owner != image.owner else { return }
        guard isAdmin else { throw .forbidden("You are not permitted to change the owner of an image.") }
        image.owner = owner
    }

    private mutating func setFormat(
        _ key: String, _ value: JSONValue, of known: Set<String>, _ field: WritableKeyPath<Image, String?>
    ) throws(APIFault) {
        guard image.status == .queued else {
            throw .forbidden("Attribute \(key) can be replaced only for a queued image.")
        }
        let format = try nullableText(key, value, limit: Self.nameLimit)
        if let format, !known.contains(format) {
            let list = known.sorted().map { "'\($0)'" }.joined(separator: ", ")
            throw .badRequest("Invalid \(key) '\(format.prefix(40))' for image: it must be one of \(list).")
        }
        image[keyPath: field] = format
    }

    private mutating func setProperty(_ key: String, _ value: JSONValue) throws(APIFault) {
        guard !Self.readOnly.contains(key) else { throw Self.readOnly(key) }
        guard key != "location", key != "locations" else {
            throw .forbidden("It's not allowed to add or change locations of an image.")
        }
        guard (1...Self.nameLimit).contains(key.unicodeScalars.count) else {
            throw .badRequest("Provided property names must be 1 to \(Self.nameLimit) characters long.")
        }
        guard let text = value.string, text.unicodeScalars.count <= Self.valueLimit else {
            throw Self.invalid(key, "is not of type 'string' with at most \(Self.valueLimit) characters")
        }
        image.properties[key] = text
        guard image.properties.count <= Self.countLimit else {
            throw APIFault(
                .contentTooLarge,
                "The limit has been exceeded on the number of allowed image properties: "
                    + "\(Self.countLimit).")
        }
    }

    private func tags(_ value: JSONValue) throws(APIFault) -> [String] {
        guard let elements = value.array else { throw Self.invalid("tags", "is not of type 'array'") }
        var tags: Set<String> = []
        for element in elements {
            guard let tag = element.string, (1...Self.nameLimit).contains(tag.unicodeScalars.count) else {
                throw Self.invalid("tags", "has something else than texts of 1 to \(Self.nameLimit) characters")
            }
            tags.insert(tag)
        }
        guard tags.count <= Self.countLimit else {
            throw APIFault(
                .contentTooLarge, "The limit has been exceeded on the number of allowed image tags: \(Self.countLimit)."
            )
        }
        return tags.sorted()
    }

    private func nullableText(_ key: String, _ value: JSONValue, limit: Int) throws(APIFault) -> String? {
        if value == .null { return nil }
        guard let text = value.string else { throw Self.invalid(key, "is not of type 'null', 'string'") }
        guard text.unicodeScalars.count <= limit else {
            throw Self.invalid(key, "is too long: at most \(limit) characters")
        }
        return text
    }

    private func count(_ key: String, _ value: JSONValue) throws(APIFault) -> Int {
        guard let number = value.integer, (0...Int64(Int32.max)).contains(number) else {
            throw Self.invalid(key, "is not an integer from 0 to \(Int32.max)")
        }
        return Int(number)
    }

    private func flag(_ key: String, _ value: JSONValue) throws(APIFault) -> Bool {
        guard case .bool(let flag) = value else { throw Self.invalid(key, "is not of type 'boolean'") }
        return flag
    }

    private static func invalid(_ key: String, _ reason: String) -> APIFault {
        .badRequest("Provided object does not match schema 'image': the value of '\(key.prefix(100))' \(reason).")
    }

    private static func readOnly(_ key: String) -> APIFault { .forbidden("Attribute '\(key)' is read-only.") }
}

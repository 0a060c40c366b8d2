import HTTPKit
import Hummingbird
import Primitives

// JSON schemas that clients read to know which attributes are the service's own.
extension ImageService {
    func addSchemas(to routes: RouterGroup<APIContext>) {
        routes.get("schemas/image") { _, _ in Response.json(ImageSchemas.image) }
        routes.get("schemas/images") { _, _ in Response.json(ImageSchemas.images) }
        routes.get("schemas/member") { _, _ in Response.json(ImageSchemas.member) }
        routes.get("schemas/members") { _, _ in Response.json(ImageSchemas.members) }
        routes.get("schemas/metadefs/namespace") { _, _ in Response.json(ImageSchemas.namespace) }
        routes.get("schemas/metadefs/namespaces") { _, _ in
            Response.json(ImageSchemas.list("namespaces", of: ImageSchemas.namespace))
        }
    }
}

enum ImageSchemas {
    private static let identifier =
        "^([0-9a-fA-F]){8}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){4}-([0-9a-fA-F]){12}$"

    static let image: JSONValue = [
        "name": "image",
        "properties": .object(properties),
        "additionalProperties": ["type": "string"],
        "links": [
            ["rel": "self", "href": "{self}"], ["rel": "enclosure", "href": "{file}"],
            ["rel": "describedby", "href": "{schema}"],
        ],
    ]

    static let images = list("images", of: image)

    static let member: JSONValue = [
        "name": "member",
        "properties": [
            "created_at": ["type": "string", "description": "Date and time of the sharing"],
            "image_id": ["type": "string", "description": "The image", "pattern": .string(identifier)],
            "member_id": ["type": "string", "description": "The project the image is shared with"],
            "schema": ["readOnly": true, "type": "string"],
            "status": [
                "type": "string", "description": "What the member says to it",
                "enum": ["pending", "accepted", "rejected"],
            ],
            "updated_at": ["type": "string", "description": "Date and time of the last change"],
        ],
    ]

    static let members = list("members", of: member)

    static let namespace: JSONValue = [
        "name": "namespace", "required": ["namespace"],
        "properties": ["namespace": ["type": "string", "description": "The unique name", "maxLength": 80]],
    ]

    static func list(_ name: String, of item: JSONValue) -> JSONValue {
        let text: JSONValue = ["type": "string"]
        return [
            "name": .string(name),
            "properties": .object([
                name: ["type": "array", "items": item], "first": text, "next": text, "schema": text,
            ]),
            "links": [
                ["rel": "first", "href": "{first}"], ["rel": "next", "href": "{next}"],
                ["rel": "describedby", "href": "{schema}"],
            ],
        ]
    }

    private static let properties: [String: JSONValue] = [
        "id": ["type": "string", "description": "An identifier for the image", "pattern": .string(identifier)],
        "name": nullable("Descriptive name for the image", limit: 255),
        "status": readOnly("Status of the image", ["enum": ["queued", "saving", "active", "deactivated"]]),
        "visibility": [
            "type": "string", "description": "Who can see the image",
            "enum": ["community", "public", "private", "shared"],
        ],
        "protected": ["type": "boolean", "description": "Whether the image is kept from being deleted"],
        "os_hidden": ["type": "boolean", "description": "Whether the image is left out of the usual list"],
        "checksum": readOnlyNullable("MD5 of the image's data", limit: 32),
        "os_hash_algo": readOnlyNullable("Algorithm of os_hash_value", limit: 64),
        "os_hash_value": readOnlyNullable("Hash of the image's data, in hexadecimal", limit: 128),
        "owner": nullable("Project that owns the image", limit: 255),
        "size": ["type": ["null", "integer"], "readOnly": true, "description": "Size of the image's data in bytes"],
        "virtual_size": ["type": ["null", "integer"], "readOnly": true, "description": "Size of the disk in bytes"],
        "container_format": [
            "type": ["null", "string"], "description": "Format of the container",
            "enum": [.null, "ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed"],
        ],
        "disk_format": [
            "type": ["null", "string"], "description": "Format of the disk", "enum": [.null, "raw", "qcow2"],
        ],
        "created_at": readOnly("Date and time of the registration"),
        "updated_at": readOnly("Date and time of the last change"),
        "tags": [
            "type": "array", "description": "Words that describe the image",
            "items": ["type": "string", "maxLength": 255],
        ],
        "min_ram": ["type": "integer", "description": "Memory that the image needs, in MiB"],
        "min_disk": ["type": "integer", "description": "Disk that the image needs, in GiB"],
        "self": readOnly("The image's own URL"),
        "file": readOnly("URL of the image's data"),
        "schema": readOnly("URL of this schema"),
    ]

    private static func readOnly(_ description: String, _ more: [String: JSONValue] = [:]) -> JSONValue {
        let base: [String: JSONValue] = [
            "type": "string", "readOnly": true, "description": .string(description),
        ]
        return .object(base.merging(more) { $1 })
    }

    private static func nullable(_ description: String, limit: Int64) -> JSONValue {
        ["type": ["null", "string"], "description": .string(description), "maxLength": .integer(limit)]
    }

    private static func readOnlyNullable(_ description: String, limit: Int64) -> JSONValue {
        [
            "type": ["null", "string"], "readOnly": true, "description": .string(description),
            "maxLength": .integer(limit),
        ]
    }
}

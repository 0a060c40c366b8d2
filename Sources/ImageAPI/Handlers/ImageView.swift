import CloudModel
import HTTPKit
import Primitives

extension Image {
    /// As the API shows it: clients' own properties beside the service's.
    var view: JSONValue {
        var view = properties.mapValues { JSONValue.string($0) }
        view["id"] = .string(id.description)
        view["name"] = JSONValue(name)
        view["status"] = .string(status.rawValue)
        view["visibility"] = .string(visibility.rawValue)
        view["owner"] = JSONValue(owner?.text)
        view["disk_format"] = JSONValue(diskFormat)
        view["container_format"] = JSONValue(containerFormat)
        view["min_disk"] = .integer(Int64(minimumDiskGiB))
        view["min_ram"] = .integer(Int64(minimumMemoryMiB))
        view["protected"] = .bool(isProtected)
        view["os_hidden"] = .bool(isHidden)
        view["tags"] = .array(tags.map { .string($0) })
        view["created_at"] = .string(Timestamp.seconds(createdAt))
        view["updated_at"] = .string(Timestamp.seconds(updatedAt))
        view["size"] = JSONValue(content?.sizeBytes)
        view["virtual_size"] = JSONValue(content?.virtualSizeBytes)
        view["checksum"] = JSONValue(content?.md5)
        view["os_hash_algo"] = JSONValue(content.map { _ in "sha512" })
        view["os_hash_value"] = JSONValue(content?.sha512)
        view["self"] = .string("/v2/images/\(id)")
        view["file"] = .string("/v2/images/\(id)/file")
        view["schema"] = "/v2/schemas/image"
        return .object(view)
    }
}

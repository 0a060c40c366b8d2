package import CloudModel
import FoundationEssentials
package import Primitives

/// The host's own UUID: made at the first start, kept on its disk, the same as its provider's and its hypervisor's.
package enum ProviderIdentity {
    package static func load(directory: String, ids: any IDSource) throws -> ProviderID {
        let path = directory + "/provider-id"
        try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
        if FileManager.default.fileExists(atPath: path) {
            let text = String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
            guard let id = ProviderID(text.trimmingPrefix { $0.isWhitespace }.prefix { !$0.isWhitespace }) else {
                throw Unreadable(path: path)
            }
            return id
        }
        let id: ProviderID = ids.next()
        try Data("\(id)\n".utf8).write(to: URL(filePath: path), options: .atomic)
        return id
    }

    /// A new id for a known host would look like a stranger with the same name: a person must look.
    package struct Unreadable: Error, CustomStringConvertible {
        let path: String
        package var description: String {
            "\(path) does not hold the host's UUID; restore it from the cell's host list"
        }
    }
}

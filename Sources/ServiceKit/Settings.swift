import FoundationEssentials
package import Primitives

// One settings struct an executable, read once from a JSON file that `cellwright apply` writes. Secrets are separate
// files of mode 0600, named by path, so that a settings file can be shown to anybody.

/// How a connection is protected. Paths of files that are read anew for every connection.
package struct TLSSettings: Codable, Sendable, Equatable {
    /// Certificates of the authority by which the other side is verified.
    package var authority: String
    /// This process's own certificate, followed by its key; it shows none when absent.
    package var certificate: String?
}

/// Where a cell's database is.
package struct DatabaseSettings: Codable, Sendable {
    /// A host name or address, or the directory of a Unix socket.
    package var host: String
    package var port: Int
    package var name: String
    package var user: String
    package var passwordFile: String?
    /// Plain when absent.
    package var tls: TLSSettings?
}

/// Where a cell's virtual host is.
package struct BusSettings: Codable, Sendable {
    package var host: String
    package var port: Int
    package var vhost: String
    package var user: String
    package var passwordFile: String
    /// Plain when absent.
    package var tls: TLSSettings?
}

/// Where a process tells how it is: `/healthz` and `/metrics`, loopback unless an operator says otherwise.
package struct OpsSettings: Codable, Sendable {
    package var host: String
    package var port: Int
}

package struct CellSettings: Codable, Sendable {
    package var path: String
    package var name: String
    /// `branch` for a cell with cells below it; absent for the root and for leaves.
    package var kind: String?
}

/// `cellwright-api`.
package struct APISettings: Codable, Sendable {
    package struct Listen: Codable, Sendable {
        package var host: String
        package var port: Int
    }

    package struct PasswordHash: Codable, Sendable {
        /// log2 of scrypt's N: each step doubles time and memory.
        package var cost: Int
    }

    package var listen: Listen
    /// Serves HTTPS with this certificate; plain HTTP when absent.
    package var tls: TLSSettings?
    /// What links in answers begin with; nil builds them from the request's `Host` and `X-Forwarded-*`.
    package var publicURL: String?
    package var region: String
    package var database: DatabaseSettings
    package var bus: BusSettings
    /// At least 32 random bytes; every replica has the same.
    package var tokenKeyFile: String
    package var imageDirectory: String
    package var passwordHash: PasswordHash
}

/// `cellwright-supervisor`, of the root or of any other cell.
package struct SupervisorSettings: Codable, Sendable {
    package var cell: CellSettings
    /// Names this supervisor among those of its cell, in leases and logs.
    package var identity: String
    package var database: DatabaseSettings
    package var bus: BusSettings
    /// By what brokers of the cloud's own are verified, and who this process is to them; absent without TLS.
    package var tls: TLSSettings?
    package var ops: OpsSettings
}

/// `cellwright-conductor`.
package struct ConductorSettings: Codable, Sendable {
    package var cell: CellSettings
    package var database: DatabaseSettings
    package var bus: BusSettings
    package var ops: OpsSettings
    /// Names this conductor in leases and logs.
    package var identity: String
}

/// `cellwright-compute`.
package struct ComputeSettings: Codable, Sendable {
    package struct Hypervisor: Codable, Sendable {
        /// `libvirt` or `simulated`.
        package var driver: String
        package var uri: String?
        /// `auto`, `kvm` or `qemu`.
        package var virtType: String?
    }

    package struct Capacity: Codable, Sendable {
        package var vcpus: Int?
        package var memoryMiB: Int?
        package var diskGiB: Int?
    }

    package var host: String
    package var cell: String
    package var bus: BusSettings
    package var hypervisor: Hypervisor
    /// The image service, as this host reaches it: `http://10.77.0.2:8774/image`.
    package var imageURL: String
    /// Certificates by which the image service is verified; the system's own when absent.
    package var imageAuthority: String?
    package var stateDirectory: String
    package var ops: OpsSettings
    package var capacity: Capacity?
    package var availabilityZone: String
}

package enum SettingsError: Error, Sendable, CustomStringConvertible {
    case unreadable(path: String, detail: String)
    case invalid(path: String, detail: String)
    case secret(path: String, detail: String)

    package var description: String {
        switch self {
        case .unreadable(let path, let detail): "settings file \(path) can't be read: \(detail)"
        case .invalid(let path, let detail): "settings file \(path) is not valid: \(detail)"
        case .secret(let path, let detail): "secret file \(path) can't be used: \(detail)"
        }
    }
}

package enum SettingsFile {
    /// Bytes: nothing that `apply` writes comes near.
    package static let sizeLimit = 1024 * 1024

    package static func load<Settings: Decodable>(_: Settings.Type, from path: String) throws(SettingsError) -> Settings
    {
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: path))
        } catch {
            throw .unreadable(path: path, detail: "\(error)")
        }
        guard data.count <= sizeLimit else { throw .invalid(path: path, detail: "larger than \(sizeLimit) bytes") }
        do {
            return try JSONDecoder().decode(Settings.self, from: data)
        } catch let error as DecodingError {
            throw .invalid(path: path, detail: describe(error))
        } catch {
            throw .invalid(path: path, detail: "\(error)")
        }
    }

    /// Passwords in a file, looked at now so that a missing one is told at the start, and again for every connection.
    package static func password(at path: String) throws(SettingsError) -> PasswordSource {
        _ = try secret(at: path)
        return .file(path)
    }

    /// Reads a secret, without the line feed that editors leave at its end. Its content is in no error.
    package static func secret(at path: String) throws(SettingsError) -> Secret {
        let data: Data
        do {
            data = try Data(contentsOf: URL(filePath: path))
        } catch {
            throw .secret(path: path, detail: "can't be read")
        }
        guard data.count <= 64 * 1024, var text = String(validating: data, as: UTF8.self) else {
            throw .secret(path: path, detail: "not a short UTF-8 text")
        }
        while text.hasSuffix("\n") { text.removeLast() }
        guard !text.isEmpty else { throw .secret(path: path, detail: "empty") }
        return Secret(text)
    }

    private static func describe(_ error: DecodingError) -> String {
        func path(_ context: DecodingError.Context) -> String {
            context.codingPath.map(\.stringValue).joined(separator: ".")
        }
        return switch error {
        case .keyNotFound(let key, let context): "\(path(context)): `\(key.stringValue)` is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context): "\(path(context)): wrong type"
        case .dataCorrupted(let context): "\(path(context)): \(context.debugDescription)"
        @unknown default: "not decodable"
        }
    }
}

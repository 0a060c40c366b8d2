package import CloudModel
import FoundationEssentials
import Glibc
import SystemPackage

/// Open connections to the hosts of a topology; those that could not be opened, with the reason.
package struct HostPool: Sendable {
    /// Connections opened at once.
    static let parallel = 8

    package let connections: [HostName: any HostConnection]
    package let unreachable: [HostName: String]
    private let opened: [SSHConnection]
    private let folder: String?

    /// For tests, which bring connections of their own.
    package init(connections: [HostName: any HostConnection], unreachable: [HostName: String] = [:]) {
        self.connections = connections
        self.unreachable = unreachable
        opened = []
        folder = nil
    }

    /// Opens a connection to each host. A host that does not answer is noted, not thrown: others can go on.
    package static func open(_ targets: [HostName: SSHTarget]) async throws -> HostPool {
        let folder = try makeFolder()
        let results = try await parallelMap(targets.sorted { $0.key < $1.key }, limit: parallel) {
            name, target -> (HostName, SSHConnection, String?) in
            let connection = SSHConnection(target: target, controlFolder: folder)
            do {
                try await connection.open()
                return (name, connection, nil)
            } catch let failure as HostFailure {
                guard case .unreachable(let why) = failure.reason else { return (name, connection, "\(failure)") }
                return (name, connection, why)
            } catch let failure as CommandFailure {
                return (name, connection, "\(failure)")
            }
        }
        return HostPool(results: results, folder: folder)
    }

    private init(results: [(HostName, SSHConnection, String?)], folder: String) {
        var connections: [HostName: any HostConnection] = [:]
        var unreachable: [HostName: String] = [:]
        for (name, connection, reason) in results {
            if let reason { unreachable[name] = reason } else { connections[name] = connection }
        }
        self.connections = connections
        self.unreachable = unreachable
        opened = results.filter { $0.2 == nil }.map(\.1)
        self.folder = folder
    }

    package func connection(_ host: HostName) throws -> any HostConnection {
        if let connection = connections[host] { return connection }
        throw HostFailure(
            host: host.text, what: "connect",
            reason: .unreachable(unreachable[host] ?? "it is not in the topology"))
    }

    /// Ends every connection and its process.
    package func close() async {
        await withTaskGroup(of: Void.self) { group in
            for connection in opened { group.addTask { await connection.close() } }
        }
        guard let folder else { return }
        do { try FileSystem.remove(folder) } catch {
            // A folder of sockets in /tmp that goes with the next restart at the latest.
        }
    }

    /// A private folder with a path short enough for sockets.
    private static func makeFolder() throws -> String {
        var template = Array("/tmp/cellwright-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else {
            throw FileFailure("make a folder in", "/tmp", Errno(rawValue: errno))
        }
        return String(cString: made)
    }
}

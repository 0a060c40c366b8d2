package import CloudModel

/// Which secrets of a cloud are replaced together, who reads each, and which server must learn it. Pure.
///
/// A secret is replaced in phases, so that whoever connects in between is let in:
///
/// 1. Every reader's file holds the old value and the new one; a reader that is refused with the first tries the second.
/// 2. The server takes the new value and from then on refuses the old one. Sessions that are open stay.
/// 3. Every reader's file holds the new value alone.
package struct SecretRotation: Sendable, Equatable {
    /// What an operator names.
    package enum Scope: Sendable, Equatable {
        case cloud
        /// A cell and its hosts, not the cells below it.
        case cell(CellPath)
        case host(HostName)
    }

    package struct Reader: Sendable, Hashable {
        package var host: HostName
        package var path: String
        /// Account that the file belongs to.
        package var owner: String
    }

    package enum Holder: Sendable, Equatable {
        /// The cell's database role.
        case database(Topology.Database, role: String)
        case broker(Topology.Broker, ProcessLayout.BrokerUser)
    }

    package struct Replacement: Sendable, Equatable {
        package var secret: SecretName
        package var cell: CellPath
        package var holder: Holder
        package var readers: [Reader]
        /// The parent keeps it in its directory as well.
        package var isInMapping: Bool
    }

    /// In the order of cells, parents first.
    package let replacements: [Replacement]

    package init(_ topology: Topology, layout: ProcessLayout, scope: Scope) {
        var filesOf: [SecretName: [Reader]] = [:]
        for process in layout.processes {
            for file in process.secrets {
                filesOf[file.name, default: []].append(
                    Reader(host: process.host, path: file.path, owner: process.account))
            }
        }
        func readers(of secret: SecretName) -> [Reader] {
            var seen: Set<Reader> = []
            return (filesOf[secret] ?? []).filter { seen.insert($0).inserted }
        }
        var found: [Replacement] = []
        for cell in topology.cells {
            let isWhole = scope == .cloud || scope == .cell(cell.path)
            if isWhole {
                let secret = SecretName.database(cell.path)
                found.append(
                    Replacement(
                        secret: secret, cell: cell.path, holder: .database(cell.database, role: cell.path.resourceName),
                        readers: readers(of: secret), isInMapping: false))
            }
            for user in layout.brokerUsers where user.cell == cell.path {
                guard isWhole || (user.host.map { scope == .host($0) } ?? false) else { continue }
                found.append(
                    Replacement(
                        secret: user.secret, cell: cell.path, holder: .broker(cell.broker, user),
                        readers: readers(of: user.secret), isInMapping: user.role == .parent))
            }
        }
        replacements = found
    }

    /// The certificates of processes and servers within a scope. A server that several cells use counts to the root's.
    package static func certificates(of layout: ProcessLayout, scope: Scope) -> [ProcessLayout.Certificate] {
        switch scope {
        case .cloud: return layout.certificates
        case .host(let host): return layout.certificates.filter { $0.host == host }
        case .cell(let path):
            var own = layout.processes.filter { $0.cell == path }.compactMap(\.certificate)
            if path.isRoot {
                own += Array(layout.databaseCertificates.values)
                own += Array(layout.brokerCertificates.values)
            }
            return own.sorted { $0.name < $1.name }
        }
    }
}

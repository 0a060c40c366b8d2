package import CloudModel

/// One thing of a cloud that can be looked at, made and removed: a file, a unit, a database, a mapping.
package struct Resource: Sendable, Equatable {
    /// What kind of thing it is.
    package enum Kind: String, Sendable, CaseIterable, Codable {
        case packages, account, directory, file, unit
        case databaseRole, database, brokerVhost, brokerUser, brokerPermissions
        case schema, gate, cellMapping, hostQueue
        case project, user, flavor, network, image

        /// In which order things are removed; kinds that are missing stay (packages and accounts may
        /// serve others) or go with something else (a schema with its database).
        package static let removalOrder: [Kind] = [
            .image, .network, .flavor, .user, .project, .cellMapping, .hostQueue, .unit, .brokerPermissions,
            .brokerUser, .brokerVhost, .database, .databaseRole, .file, .directory,
        ]
    }

    /// Names a resource for ever: enough to find and to remove it when the topology no longer speaks of it.
    package struct ID: Hashable, Sendable, Codable, CustomStringConvertible {
        package var kind: Kind
        /// The machine it is on; for databases and broker objects where the server is, which may be one that somebody
        /// else runs (`address:port`); `nil` for objects of the whole cloud.
        package var host: HostName?
        /// For things that are neither on a host nor on a server: the cell.
        package var cell: CellPath?
        /// Path, unit, role or object name.
        package var name: String

        package init(_ kind: Kind, host: HostName? = nil, cell: CellPath? = nil, name: String) {
            self.kind = kind
            self.host = host
            self.cell = cell
            self.name = name
        }

        /// Without kind and cell: what shares a host and a name is rare, and clouds have millions of these.
        package func hash(into hasher: inout Hasher) {
            hasher.combine(host?.text)
            hasher.combine(name)
        }

        package var description: String {
            var text = kind.rawValue
            if let host { text += "@\(host)" }
            if let cell { text += "[\(cell)]" }
            return text + ":\(name)"
        }
    }

    package var id: ID
    /// How to make it.
    package var specification: ResourceSpecification
    /// What must be found when one looks, by attribute: `mode` = `0600`. Never a secret itself, only its digest.
    package var attributes: [String: String]
    /// What must be so before it.
    package var dependsOn: [ID]
    /// At least one of these must be so before it; empty when it needs none of the kind.
    package var dependsOnAny: [ID]
    /// What a change of it does to what runs.
    package var effectOfChange: PlanEffect
    /// Looked at again whenever something that it depends on changes: gates.
    package var followsDependencies: Bool
    /// The cell it serves, if it serves only one.
    package var cell: CellPath?

    package init(
        id: ID, specification: ResourceSpecification, attributes: [String: String], dependsOn: [ID] = [],
        dependsOnAny: [ID] = [], effectOfChange: PlanEffect = .none, followsDependencies: Bool = false,
        cell: CellPath? = nil
    ) {
        self.id = id
        self.specification = specification
        self.attributes = attributes
        self.dependsOn = dependsOn
        self.dependsOnAny = dependsOnAny
        self.effectOfChange = effectOfChange
        self.followsDependencies = followsDependencies
        self.cell = cell ?? id.cell
    }
}

/// What an action does to what already runs.
package enum PlanEffect: String, Sendable, Codable, CaseIterable {
    /// Nothing that runs notices.
    case none
    /// Something new appears.
    case create
    /// A process takes new settings without ending.
    case reload
    /// A process ends and starts.
    case restart
    /// Something is removed and made anew.
    case replace
    /// Something is removed.
    case destroy
}

import Primitives
import Topology

/// Passwords of the users that a topology gives its cloud: from where the topology says, else made and kept here.
struct UserPasswords: Sendable {
    let settings: DeploymentSettings
    let secrets: SecretStore

    /// The listed user `admin`, else the one that always exists.
    var administrator: Topology.User {
        let name = BootstrapDocument.administratorName
        return settings.topology.bootstrap.users.first { $0.name == name }
            ?? Topology.User(name: name, project: name, roles: [name])
    }

    /// The user's password, which is made now if there is none.
    func password(of user: Topology.User) throws -> Secret {
        try given(user) ?? secrets.value(.user(user.name))
    }

    /// The user's password if there is one.
    func existing(of user: Topology.User) throws -> Secret? {
        try given(user) ?? secrets.existing(.user(user.name))
    }

    private func given(_ user: Topology.User) throws -> Secret? {
        try SecretStore.read(
            user.password, relativeTo: settings.topologyFolder, environment: settings.environment)
    }
}

package import PostgresClient
package import ServiceKit

/// Opens an executable's pool. `cellwright-compute` does not use this module and so links no libpq.
package enum DatabaseSetup {
    /// - Throws: ``SettingsError`` for the password file.
    package static func open(
        _ settings: DatabaseSettings, name: String, connections: Int = 4
    ) throws(SettingsError) -> PostgresPool {
        let password = try settings.passwordFile.map { path throws(SettingsError) in try SettingsFile.password(at: path)
        }
        return PostgresPool(
            PostgresConfiguration(
                host: settings.host, port: settings.port, database: settings.name, user: settings.user,
                password: password,
                transportSecurity: settings.tls.map {
                    .verified(rootCertificate: $0.authority, certificate: $0.certificate)
                } ?? .preferred, applicationName: name, maximumConnections: connections))
    }
}

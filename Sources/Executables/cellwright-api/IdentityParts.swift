import CloudModel
import IdentityAPI
import Persistence
import PostgresClient
import Primitives
import ServiceKit

/// What identity needs, in the process that serves it and in the command that fills it.
struct IdentityParts {
    let repository: PostgresIdentityRepository
    let hasher: PasswordHasher
    let authority: TokenAuthority
    let key: SigningKey

    init(_ settings: APISettings, _ pool: PostgresPool, _ clock: any WallClock) throws {
        key = try SigningKey(try SettingsFile.secret(at: settings.tokenKeyFile))
        repository = PostgresIdentityRepository(pool: pool)
        hasher = PasswordHasher(cost: settings.passwordHash.cost)
        authority = TokenAuthority(key: key, clock: clock)
    }
}

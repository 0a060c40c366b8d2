package import CloudModel
import Crypto
import FoundationEssentials
package import HTTPKit
package import Primitives

/// Makes tokens and judges them, in memory: the signature says that a token is ours, the cache whether it was revoked.
package final class TokenAuthority: TokenValidator {
    /// The first byte of every token, and what its bytes mean.
    private static let version: UInt8 = 1
    private static let tagBytes = 32

    private let key: SymmetricKey
    private let clock: any WallClock
    let lifetime: Duration
    let revocations = RevocationCache()

    /// - Parameter lifetime: of tokens; one had by a token ends with that token.
    package init(key: SigningKey, clock: any WallClock, lifetime: Duration = .seconds(4 * 3600)) {
        precondition(lifetime > .zero, "a token lives for some time")
        self.key = key.key(for: .token)
        self.clock = clock
        self.lifetime = lifetime
    }

    /// Whether revocations have been read. Until then no token is good, for health and readiness.
    package var isReady: Bool { revocations.isLoaded }

    package func validate(_ token: String) async throws -> AuthContext? { try read(token)?.authContext }

    /// What a token says, or nil when it is not ours, expired or revoked.
    /// - Throws: a 503 while nobody knows what is revoked.
    func read(_ token: String) throws(APIFault) -> TokenPayload? {
        guard let payload = verify(token), payload.expiresAt > clock.now() else { return nil }
        guard revocations.isLoaded else { throw .unavailable() }
        return revocations.isRevoked(payload) ? nil : payload
    }

    func sign(_ payload: TokenPayload) -> String {
        var bytes = [Self.version] + payload.encoded
        bytes.append(contentsOf: HMAC<SHA256>.authenticationCode(for: bytes, using: key))
        return Base64URL.encode(bytes)
    }

    private func verify(_ token: String) -> TokenPayload? {
        guard let bytes = Base64URL.decode(token), bytes.count > Self.tagBytes + 1, bytes[0] == Self.version else {
            return nil
        }
        let signed = bytes.dropLast(Self.tagBytes)
        guard HMAC<SHA256>.isValidAuthenticationCode(bytes.suffix(Self.tagBytes), authenticating: signed, using: key)
        else { return nil }
        return TokenPayload(encoded: signed.dropFirst())
    }

    // MARK: times

    func now() -> Date { Date(microseconds: clock.now().microseconds) }

    func newExpiry() -> Date { now().addingTimeInterval(lifetime / .seconds(1)) }

    /// The revocation of every token in `scope` that was issued until now.
    package func revocation(of scope: TokenRevocation.Scope) -> TokenRevocation {
        TokenRevocation(scope: scope, issuedUntil: now(), expiresAt: newExpiry())
    }
}

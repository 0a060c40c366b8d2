import Crypto
import CryptoExtras
import FoundationEssentials
import NIOPosix
package import Primitives

/// Turns passwords into what may be stored: scrypt, a salt each, its parameters beside the hash.
///
/// Each hash costs 2^cost KiB of memory and tens of milliseconds, so they run on blocking threads, a few at a time.
package struct PasswordHasher: Sendable {
    /// log2 of scrypt's N.
    package static let defaultCost = 14
    package static let costRange = 4...20
    /// Hashes at once, and in the queue behind them; more get ``Primitives/Bulkhead/Full``.
    private static let parallelLimit = 2
    private static let waitingLimit = 64
    private static let saltBytes = 16
    private static let hashBytes = 32
    private static let blockSize = 8
    /// Bytes of a password that are looked at: more is refused before it costs anything.
    package static let passwordLimit = 4096

    private let cost: Int
    private let bulkhead = Bulkhead(name: "password hashing", limit: parallelLimit, waiting: waitingLimit)
    /// Hashed for users who are not there, so that their absence takes as long as a wrong password.
    private let decoy: Parameters

    package init(cost: Int = defaultCost) {
        precondition(Self.costRange.contains(cost), "the cost of a password hash is out of range")
        self.cost = cost
        decoy = Parameters(
            cost: cost, salt: [UInt8](repeating: 0, count: Self.saltBytes),
            hash: [UInt8](repeating: 0, count: Self.hashBytes))
    }

    /// `scrypt$<log2 N>$<salt>$<hash>`, base64url.
    package func hash(_ password: Secret) async throws -> Secret {
        let salt = SecureBytes.make(Self.saltBytes)
        let derived = try await derive(password, cost: cost, salt: salt)
        return Secret(Parameters(cost: cost, salt: salt, hash: derived).text)
    }

    /// Whether `password` is the one that was hashed. A nil hash costs the same and is never right.
    package func verify(_ password: Secret, against stored: Secret?) async throws -> Bool {
        let known = stored.flatMap { Parameters($0.reveal()) }
        let parameters = known ?? decoy
        let derived = try await derive(password, cost: parameters.cost, salt: parameters.salt)
        return Self.isEqual(derived, parameters.hash) && known != nil
    }

    private func derive(_ password: Secret, cost: Int, salt: [UInt8]) async throws -> [UInt8] {
        // The end mark keeps the empty password apart from no bytes at all.
        let bytes = Array(password.reveal().utf8.prefix(Self.passwordLimit)) + [0]
        return try await bulkhead.run {
            try await NIOThreadPool.singleton.runIfActive {
                let key = try KDF.Scrypt.deriveKey(
                    from: bytes, salt: salt, outputByteCount: Self.hashBytes, rounds: 1 << cost,
                    blockSize: Self.blockSize, parallelism: 1)
                return key.withUnsafeBytes { Array($0) }
            }
        }
    }

    /// Takes as long whatever differs.
    private static func isEqual(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        return zip(left, right).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }

    private struct Parameters {
        var cost: Int
        var salt: [UInt8]
        var hash: [UInt8]

        init(cost: Int, salt: [UInt8], hash: [UInt8]) {
            self.cost = cost
            self.salt = salt
            self.hash = hash
        }

        init?(_ text: String) {
            let parts = text.split(separator: "$", omittingEmptySubsequences: false).map(String.init)
            guard parts.count == 4, parts[0] == "scrypt", let cost = Int(parts[1]),
                PasswordHasher.costRange.contains(cost), let salt = Base64URL.decode(parts[2]),
                let hash = Base64URL.decode(parts[3]), hash.count == PasswordHasher.hashBytes
            else { return nil }
            self.init(cost: cost, salt: salt, hash: hash)
        }

        var text: String { "scrypt$\(cost)$\(Base64URL.encode(salt))$\(Base64URL.encode(hash))" }
    }
}

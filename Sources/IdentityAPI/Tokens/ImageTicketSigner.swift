package import CellProtocol
package import CloudModel
import Crypto
import FoundationEssentials
package import Primitives

/// Signs and judges leave to fetch one image. The key is the tokens' own, split by purpose: no ticket is a token.
package struct ImageTicketSigner: ImageTicketIssuer, ImageTicketVerifier {
    private static let version: UInt8 = 1
    private static let tagBytes = 32
    private static let ticketBytes = 1 + 16 + 8 + tagBytes

    private let key: SymmetricKey
    private let clock: any WallClock
    private let lifetime: Duration

    /// - Parameter lifetime: long enough for a host to come to the build, however long a cell was away.
    package init(key: SigningKey, clock: any WallClock, lifetime: Duration = .seconds(24 * 3600)) {
        self.key = key.key(for: .imageTicket)
        self.clock = clock
        self.lifetime = lifetime
    }

    package func ticket(for image: ImageID) async throws -> ImageTicket {
        let expiry = clock.now().addingTimeInterval(lifetime / .seconds(1))
        return ImageTicket(imageID: image, token: sign(image, expiry), expiresAt: expiry)
    }

    package func isValid(_ ticket: String, for image: ImageID) -> Bool {
        guard let bytes = Base64URL.decode(ticket), bytes.count == Self.ticketBytes, bytes[0] == Self.version else {
            return false
        }
        let signed = bytes.dropLast(Self.tagBytes)
        guard HMAC<SHA256>.isValidAuthenticationCode(bytes.suffix(Self.tagBytes), authenticating: signed, using: key)
        else { return false }
        let expiry = bytes[17..<25].reduce(Int64(0)) { $0 << 8 | Int64($1) }
        return Array(bytes[1..<17]) == Self.bytes(of: image) && expiry > clock.now().microseconds
    }

    private func sign(_ image: ImageID, _ expiry: Date) -> String {
        var bytes = [Self.version] + Self.bytes(of: image)
        withUnsafeBytes(of: expiry.microseconds.bigEndian) { bytes.append(contentsOf: $0) }
        bytes.append(contentsOf: HMAC<SHA256>.authenticationCode(for: bytes, using: key))
        return Base64URL.encode(bytes)
    }

    private static func bytes(of image: ImageID) -> [UInt8] { withUnsafeBytes(of: image.uuid.uuid) { Array($0) } }
}

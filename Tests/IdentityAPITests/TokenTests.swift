import CellProtocol
import CloudModel
import FoundationEssentials
import HTTPKit
import Primitives
import Testing

@testable import IdentityAPI

@Suite struct TokenCodecTests {
    private let clock = HandClock()

    private func authority(_ key: String = String(repeating: "k", count: 40)) throws -> TokenAuthority {
        let authority = TokenAuthority(key: try SigningKey(Secret(key)), clock: clock)
        authority.revocations.replace(with: [])
        return authority
    }

    private func payload(roles: Int = 4) -> TokenPayload {
        TokenPayload(
            userID: "0123456789abcdef0123456789abcdef", userName: "änn",
            userDomain: .init(id: "default", name: "Default"),
            project: .init(
                id: "fedcba9876543210fedcba9876543210", name: "demo", domain: .init(id: "default", name: "Default")),
            roles: (0..<roles).map { .init(id: "0123456789abcdef0123456789abcde\($0 % 10)", name: "role\($0)") },
            methods: ["password", "token"], auditIDs: ["a1", "a2"], issuedAt: Date(microseconds: 1_800_000_000_123_456),
            expiresAt: Date(microseconds: 1_800_003_600_000_001),
            credential: .init(id: "c1", name: "ci", isRestricted: true))
    }

    @Test func readsWhatItSigned() throws {
        let authority = try authority()
        #expect(try authority.read(authority.sign(payload())) == payload())
        var bare = payload()
        (bare.project, bare.credential, bare.roles) = (nil, nil, [])
        #expect(try authority.read(authority.sign(bare)) == bare)
    }

    @Test func makesTokensThatFitAHeader() throws {
        let token = try authority().sign(payload())
        #expect(token.utf8.count < 500)
        #expect(token.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F })
        #expect(try authority().sign(payload(roles: 8)).utf8.count < 1024)
    }

    @Test func refusesEveryChangedCharacter() throws {
        let authority = try authority()
        let token = Array(authority.sign(payload()))
        for index in token.indices {
            var changed = token
            changed[index] = changed[index] == "A" ? "B" : "A"
            #expect(try authority.read(String(changed)) == nil, "character \(index)")
        }
        #expect(try authority.read(String(token.dropLast())) == nil)
        #expect(try authority.read(String(token) + "A") == nil)
    }

    @Test(arguments: ["", "A", "not a token", "AAAA", String(repeating: "A", count: 7000), "ünïcode", "AQ=="])
    func refusesWhatIsNoToken(text: String) throws {
        #expect(try authority().read(text) == nil)
    }

    @Test func refusesTokensOfAnotherKey() throws {
        let other = try authority(String(repeating: "x", count: 40))
        #expect(try authority().read(other.sign(payload())) == nil)
    }

    @Test func refusesExpiredTokens() throws {
        let authority = try authority()
        let token = authority.sign(payload())
        clock.advance(3599)
        #expect(try authority.read(token) != nil)
        clock.advance(2)
        #expect(try authority.read(token) == nil)
    }

    @Test func refusesToJudgeBeforeRevocationsAreKnown() throws {
        let authority = TokenAuthority(key: try SigningKey(IdentityBench.key), clock: clock)
        let token = authority.sign(payload())
        #expect(throws: APIFault.self) { try authority.read(token) }
        #expect(!authority.isReady)
        authority.revocations.replace(with: [])
        #expect(authority.isReady)
        #expect(try authority.read(token) != nil)
    }

    @Test(
        arguments: [
            (.token(auditID: "a1"), true), (.token(auditID: "a2"), false),
            (.user("0123456789abcdef0123456789abcdef"), true),
            (.user("other"), false), (.project("fedcba9876543210fedcba9876543210"), true), (.project("other"), false),
            (.membership("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210"), true),
            (.membership("0123456789abcdef0123456789abcdef", "other"), false), (.applicationCredential("c1"), true),
            (.role("0123456789abcdef0123456789abcde2"), true), (.role("other"), false),
        ] as [(TokenRevocation.Scope, Bool)])
    func knowsWhatARevocationMeans(scope: TokenRevocation.Scope, isHit: Bool) throws {
        let authority = try authority()
        let token = payload()
        authority.revocations.add(
            TokenRevocation(scope: scope, issuedUntil: token.issuedAt, expiresAt: .distantFuture), now: clock.now())
        #expect(authority.revocations.isRevoked(token) == isHit)
    }

    @Test func sparesTokensIssuedAMicrosecondLater() throws {
        let authority = try authority()
        var token = payload()
        authority.revocations.add(
            TokenRevocation(scope: .user(token.userID), issuedUntil: token.issuedAt, expiresAt: .distantFuture),
            now: clock.now())
        token.issuedAt = Date(microseconds: token.issuedAt.microseconds + 1)
        #expect(!authority.revocations.isRevoked(token))
    }

    @Test func insistsOnALongKey() {
        #expect(throws: SigningKey.TooShort.self) { try SigningKey(Secret(String(repeating: "k", count: 31))) }
    }

    @Test func readsNoTokenOutOfRandomBytes() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<20_000 {
            let bytes = (0..<Int.random(in: 0...80, using: &generator)).map { _ in
                UInt8.random(in: 0...255, using: &generator)
            }
            _ = TokenPayload(encoded: bytes[...])  // whatever comes out, it must not trap
        }
    }
}

@Suite struct Base64URLTests {
    @Test(
        arguments: [
            ("", []), ("AA", [0]), ("-_8", [251, 255]), ("AQID", [1, 2, 3]), ("_____w", [255, 255, 255, 255]),
        ] as [(String, [UInt8])])
    func writesAndReads(text: String, bytes: [UInt8]) {
        #expect(Base64URL.encode(bytes) == text)
        #expect(Base64URL.decode(text) == bytes)
    }

    @Test(arguments: ["A", "AB", "AQIDA", "A=", "AA==", "A+", "A/", " AA", "AQJ", "é"])
    func readsOnlyTheOneEncoding(text: String) { #expect(Base64URL.decode(text) == nil) }

    @Test func agreesWithFoundation() {
        for count in 0..<100 {
            let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 37 &+ count) }
            let standard = Data(bytes).base64EncodedString().replacing("+", with: "-").replacing("/", with: "_")
            #expect(Base64URL.encode(bytes) == standard.prefix { $0 != "=" })
            #expect(Base64URL.decode(Base64URL.encode(bytes)) == bytes)
        }
    }
}

@Suite struct ImageTicketTests {
    private let clock = HandClock()
    private let image: ImageID = Identifier(UUID())

    private func signer() throws -> ImageTicketSigner {
        ImageTicketSigner(key: try SigningKey(IdentityBench.key), clock: clock, lifetime: .seconds(60))
    }

    @Test func opensTheOneImageForAWhile() async throws {
        let signer = try signer()
        let ticket = try await signer.ticket(for: image)
        #expect(ticket.imageID == image)
        #expect(ticket.expiresAt == clock.now().addingTimeInterval(60))
        #expect(signer.isValid(ticket.token, for: image))
        #expect(!signer.isValid(ticket.token, for: Identifier(UUID())))
        clock.advance(61)
        #expect(!signer.isValid(ticket.token, for: image))
    }

    @Test func isNoTokenAndNoTokenIsATicket() async throws {
        let authority = TokenAuthority(key: try SigningKey(IdentityBench.key), clock: clock)
        authority.revocations.replace(with: [])
        let ticket = try await signer().ticket(for: image)
        #expect(try authority.read(ticket.token) == nil)
        #expect(try !signer().isValid("AQAA", for: image))
    }
}

@Suite struct PasswordHasherTests {
    private let hasher = PasswordHasher(cost: 4)

    @Test func knowsTheRightPassword() async throws {
        let stored = try await hasher.hash(Secret("correct horse"))
        #expect(try await hasher.verify(Secret("correct horse"), against: stored))
        #expect(try await !hasher.verify(Secret("correct horsf"), against: stored))
        #expect(try await !hasher.verify(Secret(""), against: stored))
        #expect(try await !hasher.verify(Secret("correct horse"), against: nil))
    }

    @Test func saltsEveryHashAndKeepsItsParameters() async throws {
        let (one, two) = (try await hasher.hash(Secret("x")), try await hasher.hash(Secret("x")))
        #expect(one != two)
        #expect(one.reveal().hasPrefix("scrypt$4$"))
        #expect(try await PasswordHasher(cost: 5).verify(Secret("x"), against: one), "the stored cost counts")
    }

    @Test(arguments: ["", "x", "scrypt$4$AA", "bcrypt$4$AA$AA", "scrypt$99$AAAA$AAAA", "scrypt$4$!$AAAA"])
    func takesNothingForAHash(text: String) async throws {
        #expect(try await !hasher.verify(Secret("x"), against: Secret(text)))
    }
}

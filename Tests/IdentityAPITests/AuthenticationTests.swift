import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Logging
import Primitives
import TestSupport
import Testing

@testable import IdentityAPI

@Suite struct AuthenticationTests {
    @Test func issuesAProjectTokenForAPassword() async throws {
        let bench = try await IdentityBench()
        let answer = try await bench.logIn(
            IdentityBench.password("admin", "root-pw"), scope: IdentityBench.project("admin"))
        #expect(answer.status == 201)
        #expect(!answer.token.isEmpty && answer.token.utf8.count < 1024)
        #expect(answer["token", "methods"] == ["password"])
        #expect(answer["token", "user", "name"] == "admin")
        #expect(answer["token", "user", "domain"] == ["id": "default", "name": "Default"])
        #expect(answer["token", "project", "name"] == "admin")
        #expect(answer["token", "is_domain"] == false)
        #expect(answer["token", "issued_at"] == "2027-01-15T08:00:01.000000Z")
        #expect(answer["token", "expires_at"] == "2027-01-15T12:00:01.000000Z")
        #expect(answer["token", "audit_ids"]?.array?.count == 1)
        let roles = answer["token", "roles"]?.array?.compactMap { $0["name"]?.string }
        #expect(roles == ["admin", "manager", "member", "reader"])
        let catalog = try #require(answer["token", "catalog"]?.array)
        #expect(catalog.compactMap { $0["type"]?.string } == ["identity", "image", "network", "compute", "cells"])
        let compute = try #require(catalog.first { $0["type"] == "compute" }?["endpoints"]?.array)
        #expect(compute.compactMap { $0["interface"]?.string } == ["public", "internal", "admin"])
        #expect(compute.allSatisfy { $0["url"] == "http://localhost/compute/v2.1" && $0["region_id"] == "RegionOne" })
    }

    @Test func findsUsersByIdAndByDomainName() async throws {
        let bench = try await IdentityBench()
        let id = try await bench.userID("ann")
        for user: JSONValue in [
            ["id": .string(id), "password": "ann-pw"],
            ["name": "ann", "domain": ["name": "Default"], "password": "ann-pw"],
        ] {
            #expect(try await bench.logIn(["methods": ["password"], "password": ["user": user]]).status == 201)
        }
    }

    @Test func endsUpInTheDefaultProjectWithoutAScope() async throws {
        let bench = try await IdentityBench()
        let answer = try await bench.logIn(IdentityBench.password("ann", "ann-pw"))
        #expect(answer["token", "project", "name"] == "demo")
    }

    @Test(arguments: ["unscoped", ["unscoped": .object([:])]] as [JSONValue])
    func givesUnscopedTokensWhenAsked(scope: JSONValue) async throws {
        let bench = try await IdentityBench()
        let answer = try await bench.logIn(IdentityBench.password("ann", "ann-pw"), scope: scope)
        #expect(answer.status == 201)
        #expect(
            answer["token", "project"] == nil && answer["token", "catalog"] == nil && answer["token", "roles"] == nil)
    }

    @Test func leavesTheCatalogOutWhenAsked() async throws {
        let bench = try await IdentityBench()
        let answer = try await bench.logIn(IdentityBench.password("ann", "ann-pw"), query: "?nocatalog")
        #expect(answer["token", "catalog"] == nil && answer["token", "project"] != nil)
    }

    @Test func scopesAnUnscopedTokenAndKeepsItsEnd() async throws {
        let bench = try await IdentityBench()
        let first = try await bench.logIn(IdentityBench.password("ann", "ann-pw"), scope: "unscoped")
        bench.clock.advance(600)
        let second = try await bench.logIn(IdentityBench.token(first.token), scope: IdentityBench.project("demo"))
        #expect(second.status == 201)
        #expect(second["token", "methods"] == ["password", "token"])
        #expect(second["token", "expires_at"] == first["token", "expires_at"])
        #expect(second["token", "audit_ids", "1"] == first["token", "audit_ids", "0"])
    }

    @Test func refusesAlikeWhateverIsWrong() async throws {
        let bench = try await IdentityBench()
        var ann = try #require(try await bench.repository.users(AccountFilter(name: "ann")).first)
        let attempts: [(JSONValue, JSONValue?)] = [
            (IdentityBench.password("ann", "wrong"), nil), (IdentityBench.password("nobody", "ann-pw"), nil),
            (IdentityBench.password("ann", "ann-pw"), IdentityBench.project("admin")),
            (IdentityBench.password("ann", "ann-pw"), IdentityBench.project("nothing")),
            (IdentityBench.password("ann", "ann-pw"), ["domain": ["id": "default"]]),
            (IdentityBench.password("ann", "ann-pw"), ["system": ["all": true]]),
            (IdentityBench.token("nonsense"), nil), (["methods": ["saml2"]], nil),
            (["methods": ["application_credential"], "application_credential": ["id": "x", "secret": "y"]], nil),
        ]
        var bodies: Set<JSONValue> = []
        for (method, scope) in attempts {
            let answer = try await bench.logIn(method, scope: scope)
            #expect(answer.status == 401)
            bodies.insert(answer.body)
        }
        ann.isEnabled = false
        _ = try await bench.repository.update(ann, revoking: nil)
        bodies.insert(try await bench.logIn(IdentityBench.password("ann", "ann-pw")).body)
        #expect(
            bodies == [
                [
                    "error": [
                        "code": 401, "title": "Unauthorized",
                        "message": "The request you have made requires authentication.",
                    ]
                ]
            ])
    }

    @Test(
        arguments: [
            .null, [], ["auth": []], ["auth": .object([:])], ["auth": ["identity": ["methods": []]]],
            ["auth": ["identity": ["methods": ["password"]]]],
            ["auth": ["identity": ["methods": ["password"], "password": ["user": ["name": "ann", "password": "x"]]]]],
            ["auth": ["identity": ["methods": ["password"], "password": ["user": ["id": 5, "password": "x"]]]]],
            ["auth": ["identity": ["methods": ["token"], "token": .object([:])]]],
            ["auth": ["identity": ["methods": ["token"], "token": ["id": "x"]], "scope": 3]],
        ] as [JSONValue])
    func explainsMalformedRequests(body: JSONValue) async throws {
        let answer = try await IdentityBench().call(.post, "/v3/auth/tokens", body)
        #expect(answer.status == 400)
        #expect(answer["error", "title"] == "Bad Request")
    }

    @Test func neverRepeatsAPassword() async throws {
        let bench = try await IdentityBench()
        let answer = try await bench.call(
            .post, "/v3/users", token: bench.adminToken(), ["user": ["name": "x", "password": ["s3cret"]]])
        #expect(answer.status == 400)
        #expect(!answer.body.text.contains("s3cret"))
    }

    @Test func answersUnavailableStorageWithoutDetails() async throws {
        let bench = try await IdentityBench()
        bench.repository.breakDown()
        let answer = try await bench.logIn(IdentityBench.password("ann", "ann-pw"))
        #expect(answer.status == 503)
        #expect(!answer.body.text.contains("broken"))
    }
}

@Suite(.timeLimit(.minutes(2))) struct TokenLifeTests {
    @Test func showsAndChecksTokens() async throws {
        let bench = try await IdentityBench()
        let (admin, member) = (try await bench.adminToken(), try await bench.memberToken())
        for caller in [admin, member] {
            let shown = try await bench.call(.get, "/v3/auth/tokens", token: caller, subject: member)
            #expect(shown.status == 200)
            #expect(shown["token", "user", "name"] == "ann")
            #expect(shown.token == member)
            let head = try await bench.call(.head, "/v3/auth/tokens", token: caller, subject: member)
            #expect(head.status == 200 && head.body == .null)
        }
        #expect(try await bench.call(.get, "/v3/auth/tokens", token: member, subject: admin).status == 403)
        #expect(try await bench.call(.get, "/v3/auth/tokens", token: admin, subject: "junk").status == 404)
        #expect(try await bench.call(.get, "/v3/auth/tokens", token: admin).status == 400)
        #expect(try await bench.call(.get, "/v3/auth/tokens", subject: admin).status == 401)
    }

    @Test func endsARevokedToken() async throws {
        let bench = try await IdentityBench()
        let (one, two) = (try await bench.memberToken(), try await bench.memberToken())
        #expect(try await bench.call(.delete, "/v3/auth/tokens", token: one, subject: one).status == 204)
        #expect(try await bench.call(.get, "/v3/auth/projects", token: one).status == 401)
        #expect(try await bench.call(.get, "/v3/auth/projects", token: two).status == 200)
        #expect(try await bench.repository.revocations(at: bench.clock.now()).count == 1)
    }

    @Test func endsTokensWithTheirTime() async throws {
        let bench = try await IdentityBench()
        let token = try await bench.memberToken()
        bench.clock.advance(4 * 3600 + 1)
        #expect(try await bench.call(.get, "/v3/auth/projects", token: token).status == 401)
    }

    @Test(arguments: ["disable", "password", "own password", "delete", "role", "project"])
    func endsTokensOfWhoLosesRights(cause: String) async throws {
        let bench = try await IdentityBench()
        let (admin, token) = (try await bench.adminToken(), try await bench.memberToken())
        let (user, project) = (try await bench.userID("ann"), try await bench.projectID("demo"))
        bench.clock.advance(1)
        let answer: Answer
        switch cause {
        case "disable":
            answer = try await bench.call(.patch, "/v3/users/\(user)", token: admin, ["user": ["enabled": false]])
        case "password":
            answer = try await bench.call(.patch, "/v3/users/\(user)", token: admin, ["user": ["password": "n"]])
        case "own password":
            answer = try await bench.call(
                .post, "/v3/users/\(user)/password", ["user": ["original_password": "ann-pw", "password": "n"]])
        case "delete": answer = try await bench.call(.delete, "/v3/users/\(user)", token: admin)
        case "role":
            let path = "/v3/projects/\(project)/users/\(user)/roles/\(try await bench.roleID("member"))"
            answer = try await bench.call(.delete, path, token: admin)
        default:
            answer = try await bench.call(
                .patch, "/v3/projects/\(project)", token: admin, ["project": ["enabled": false]])
        }
        #expect((200..<300).contains(answer.status))
        #expect(try await bench.call(.get, "/v3/auth/projects", token: token).status == 401)
        #expect(try await bench.call(.get, "/v3/auth/projects", token: admin).status == 200)
        bench.clock.advance(1)
        let isBack = try await bench.logIn(IdentityBench.password("ann", cause.contains("password") ? "n" : "ann-pw"))
        #expect(isBack.status == (["disable", "delete"].contains(cause) ? 401 : 201))
    }

    @Test func learnsOfRevocationsOfOtherReplicas() async throws {
        let bench = try await IdentityBench()
        let token = try await bench.memberToken()
        let other = TokenAuthority(key: try SigningKey(IdentityBench.key), clock: bench.clock)
        let feed = RevocationFeed(
            authority: other, repository: bench.repository, wallClock: bench.clock, clock: ContinuousClock(),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await feed.run() }
            while !other.isReady { await Task.yield() }
            #expect(try await other.validate(token)?.userName == "ann")
            _ = try await bench.call(.delete, "/v3/auth/tokens", token: token, subject: token)
            while try await other.validate(token) != nil { await Task.yield() }
            group.cancelAll()
        }
    }
}

import CloudModel
import HTTPKit
import HTTPTypes
import Primitives
import TestSupport
import Testing

@testable import IdentityAPI

@Suite struct IdentityResourceTests {
    @Test func announcesItsVersions() async throws {
        let bench = try await IdentityBench()
        let all = try await bench.call(.get, "")
        #expect(all.status == 300)
        #expect(all["versions", "values", "0", "id"] == "v3.14")
        #expect(all["versions", "values", "0", "status"] == "stable")
        #expect(all["versions", "values", "0", "links", "0", "href"] == "http://localhost/identity/v3/")
        let one = try await bench.call(.get, "/v3/")
        #expect(one.status == 200)
        #expect(one["version", "id"] == "v3.14")
    }

    @Test(arguments: [
        "/v3/projects", "/v3/users", "/v3/roles", "/v3/services", "/v3/endpoints", "/v3/role_assignments",
        "/v3/role_inferences", "/v3/groups",
    ])
    func keepsAdministrationToAdministrators(path: String) async throws {
        let bench = try await IdentityBench()
        #expect(try await bench.call(.get, path).status == 401)
        #expect(try await bench.call(.get, path, token: bench.memberToken()).status == 403)
        let answer = try await bench.call(.get, path, token: bench.adminToken())
        #expect(answer.status == 200)
        #expect(answer["links", "self"] == .string("http://localhost/identity\(path)"))
    }

    @Test(arguments: [
        ("projects", "project"), ("users", "user"), ("roles", "role"), ("domains", "domain"), ("services", "service"),
        ("endpoints", "endpoint"), ("regions", "region"), ("groups", "group"),
    ])
    func answersIdsThatAreNamesWithNotFound(collection: String, kind: String) async throws {
        let bench = try await IdentityBench()
        let answer = try await bench.call(.get, "/v3/\(collection)/demo%20x", token: bench.adminToken())
        #expect(answer.status == 404)
        #expect(answer["error", "message"] == .string("Could not find \(kind): demo x."))
    }

    @Test func keepsProjects() async throws {
        let bench = try await IdentityBench()
        let admin = try await bench.adminToken()
        let made = try await bench.call(
            .post, "/v3/projects", token: admin,
            ["project": ["name": "pr1", "enabled": true, "domain_id": .null, "tags": ["a"]]])
        #expect(made.status == 201)
        let id = try #require(made["project", "id"]?.string)
        #expect(id.count == 32 && !id.contains("-"))
        #expect(made["project", "links", "self"] == .string("http://localhost/identity/v3/projects/\(id)"))
        #expect(made["project", "tags"] == ["a"] && made["project", "domain_id"] == "default")
        let found = try await bench.call(.get, "/v3/projects?name=pr1", token: admin)
        #expect(found["projects"]?.array?.count == 1)
        #expect(try await bench.call(.get, "/v3/projects?name=pr2", token: admin)["projects"] == [])
        let changed = try await bench.call(
            .patch, "/v3/projects/\(id)", token: admin, ["project": ["description": "d", "name": "pr2"]])
        #expect(changed["project", "description"] == "d" && changed["project", "name"] == "pr2")
        #expect(try await bench.call(.get, "/v3/projects/\(id)", token: bench.memberToken()).status == 403)
        #expect(try await bench.call(.delete, "/v3/projects/\(id)", token: admin).status == 204)
        #expect(try await bench.call(.delete, "/v3/projects/\(id)", token: admin).status == 404)
    }

    @Test(
        arguments: [
            (["project": ["name": "demo"]], 409), (["project": .object([:])], 400), (["project": ["name": ""]], 400),
            (["project": ["name": .string(String(repeating: "n", count: 65))]], 400),
            (["project": ["name": "x", "enabled": "yes"]], 400),
            (["project": ["name": "x", "domain_id": "none"]], 404),
            (["project": ["name": "x", "is_domain": true]], 400), (["project": ["name": "x\0"]], 400),
        ] as [(JSONValue, Int)])
    func refusesBadProjects(body: JSONValue, status: Int) async throws {
        let bench = try await IdentityBench()
        let answer = try await bench.call(.post, "/v3/projects", token: bench.adminToken(), body)
        #expect(answer.status == status)
        #expect(answer["error", "code"] == .integer(Int64(status)))
    }

    @Test func keepsUsers() async throws {
        let bench = try await IdentityBench()
        let admin = try await bench.adminToken()
        let made = try await bench.call(
            .post, "/v3/users", token: admin,
            ["user": ["name": "u1", "password": "pw", "enabled": true, "email": "u@example.org"]])
        #expect(made.status == 201)
        let id = try #require(made["user", "id"]?.string)
        #expect(made["user", "email"] == "u@example.org" && made["user", "password"] == nil)
        #expect(try await bench.logIn(IdentityBench.password("u1", "pw")).status == 201)
        #expect(try await bench.call(.get, "/v3/users?name=u1", token: admin)["users"]?.array?.count == 1)
        let changed = try await bench.call(
            .patch, "/v3/users/\(id)", token: admin, ["user": ["name": "u2", "description": "d"]])
        #expect(changed["user", "name"] == "u2" && changed["user", "email"] == "u@example.org")
        #expect(try await bench.logIn(IdentityBench.password("u2", "pw")).status == 201)
        let groups = try await bench.call(.get, "/v3/users/\(id)/groups", token: admin)
        #expect(groups["groups"] == [])
        #expect(try await bench.call(.delete, "/v3/users/\(id)", token: admin).status == 204)
    }

    @Test(
        arguments: [
            (["user": ["name": "ann"]], 409), (["user": ["name": .string(String(repeating: "n", count: 256))]], 400),
            (["user": ["name": "x", "password": ""]], 400), (["user": ["name": 5]], 400), ([], 400),
        ] as [(JSONValue, Int)])
    func refusesBadUsers(body: JSONValue, status: Int) async throws {
        let bench = try await IdentityBench()
        #expect(try await bench.call(.post, "/v3/users", token: bench.adminToken(), body).status == status)
    }

    @Test func showsUsersToThemselvesOnly() async throws {
        let bench = try await IdentityBench()
        let (ann, admin) = (try await bench.userID("ann"), try await bench.userID("admin"))
        let token = try await bench.memberToken()
        #expect(try await bench.call(.get, "/v3/users/\(ann)", token: token)["user", "name"] == "ann")
        #expect(try await bench.call(.get, "/v3/users/\(admin)", token: token).status == 403)
        let projects = try await bench.call(.get, "/v3/users/\(ann)/projects", token: token)
        #expect(projects["projects"]?.array?.compactMap { $0["name"]?.string } == ["demo"])
        #expect(try await bench.call(.get, "/v3/users/\(admin)/projects", token: token).status == 403)
        let own = try await bench.call(.get, "/v3/auth/projects", token: token)
        #expect(own["projects"]?.array?.count == 1)
    }

    @Test func changesAPasswordOnlyForWhoKnowsTheOldOne() async throws {
        let bench = try await IdentityBench()
        let path = "/v3/users/\(try await bench.userID("ann"))/password"
        let wrong = try await bench.call(.post, path, ["user": ["original_password": "x", "password": "new"]])
        #expect(wrong.status == 401)
        let nobody = try await bench.call(
            .post, "/v3/users/none/password", ["user": ["original_password": "x", "password": "new"]])
        #expect(nobody.status == 401 && nobody.body == wrong.body)
        #expect(try await bench.call(.post, path, ["user": ["password": "new"]]).status == 400)
    }

    @Test func grantsRoles() async throws {
        let bench = try await IdentityBench()
        let admin = try await bench.adminToken()
        let (user, project) = (try await bench.userID("ann"), try await bench.projectID("empty"))
        let path = "/v3/projects/\(project)/users/\(user)/roles"
        let role = try await bench.roleID("reader")
        #expect(try await bench.call(.head, "\(path)/\(role)", token: admin).status == 404)
        #expect(try await bench.call(.put, "\(path)/\(role)", token: admin).status == 204)
        #expect(try await bench.call(.put, "\(path)/\(role)", token: admin).status == 204)
        #expect(try await bench.call(.head, "\(path)/\(role)", token: admin).status == 204)
        #expect(try await bench.call(.get, path, token: admin)["roles", "0", "name"] == "reader")
        let scoped = try await bench.logIn(
            IdentityBench.password("ann", "ann-pw"), scope: IdentityBench.project("empty"))
        #expect(scoped["token", "roles"]?.array?.count == 1)
        #expect(try await bench.call(.put, "\(path)/nothing", token: admin).status == 404)
        #expect(try await bench.call(.delete, "\(path)/\(role)", token: admin).status == 204)
        #expect(try await bench.call(.delete, "\(path)/\(role)", token: admin).status == 404)
    }

    @Test func listsAssignments() async throws {
        let bench = try await IdentityBench()
        let admin = try await bench.adminToken()
        let plain = try await bench.call(.get, "/v3/role_assignments", token: admin)
        #expect(plain["role_assignments"]?.array?.count == 2)
        let user = try await bench.userID("ann")
        let named = try await bench.call(
            .get, "/v3/role_assignments?user.id=\(user)&include_names=True&effective", token: admin)
        let entries = try #require(named["role_assignments"]?.array)
        #expect(Set(entries.compactMap { $0["role"]?["name"]?.string }) == ["member", "reader"])
        #expect(entries.first?["user"]?["name"] == "ann")
        #expect(entries.first?["scope"]?["project"]?["domain"]?["name"] == "Default")
        let system = try await bench.call(.get, "/v3/role_assignments?scope.system=all", token: admin)
        #expect(system["role_assignments"] == [])
    }

    @Test func tellsWhatRolesImply() async throws {
        let bench = try await IdentityBench()
        let admin = try await bench.adminToken()
        let rules = try await bench.call(.get, "/v3/role_inferences", token: admin)
        let pairs = try #require(rules["role_inferences"]?.array).map {
            "\($0["prior_role"]?["name"]?.string ?? "")>\($0["implies"]?.array?.first?["name"]?.string ?? "")"
        }
        #expect(pairs == ["admin>manager", "manager>member", "member>reader"])
        let role = try await bench.roleID("admin")
        let one = try await bench.call(.get, "/v3/roles/\(role)/implies", token: admin)
        #expect(one["role_inference", "implies", "0", "name"] == "manager")
    }

    @Test func keepsRoles() async throws {
        let bench = try await IdentityBench()
        let admin = try await bench.adminToken()
        let made = try await bench.call(.post, "/v3/roles", token: admin, ["role": ["name": "ops"]])
        let id = try #require(made["role", "id"]?.string)
        #expect(made.status == 201 && made["role", "domain_id"] == .null)
        #expect(try await bench.call(.post, "/v3/roles", token: admin, ["role": ["name": "ops"]]).status == 409)
        #expect(try await bench.call(.get, "/v3/roles?name=ops", token: admin)["roles"]?.array?.count == 1)
        let changed = try await bench.call(.patch, "/v3/roles/\(id)", token: admin, ["role": ["name": "op"]])
        #expect(changed["role", "name"] == "op")
        #expect(try await bench.call(.delete, "/v3/roles/\(id)", token: admin).status == 204)
        #expect(try await bench.call(.get, "/v3/roles/\(id)", token: admin).status == 404)
    }

    @Test func showsTheCatalog() async throws {
        let bench = try await IdentityBench()
        let admin = try await bench.adminToken()
        let services = try await bench.call(.get, "/v3/services?type=compute", token: admin)
        let id = try #require(services["services", "0", "id"]?.string)
        #expect(services["services"]?.array?.count == 1 && services["services", "0", "name"] == "nova")
        #expect(try await bench.call(.get, "/v3/services/\(id)", token: admin)["service", "type"] == "compute")
        let endpoints = try await bench.call(
            .get, "/v3/endpoints?service_id=\(id)&interface=public", token: admin)
        #expect(endpoints["endpoints", "0", "url"] == "http://localhost/compute/v2.1")
        #expect(endpoints["endpoints"]?.array?.count == 1)
        #expect(try await bench.call(.get, "/v3/regions", token: admin)["regions", "0", "id"] == "RegionOne")
        #expect(try await bench.call(.get, "/v3/regions/RegionOne", token: admin).status == 200)
        let own = try await bench.call(.get, "/v3/auth/catalog", token: bench.memberToken())
        #expect(own["catalog"]?.array?.count == 5)
    }

    @Test func showsTheDomain() async throws {
        let bench = try await IdentityBench()
        let token = try await bench.memberToken()
        #expect(try await bench.call(.get, "/v3/domains", token: token)["domains", "0", "id"] == "default")
        #expect(try await bench.call(.get, "/v3/domains/default", token: token)["domain", "name"] == "Default")
        #expect(try await bench.call(.get, "/v3/domains?name=x", token: token)["domains"] == [])
    }

    /// Other ways to a token, by which tokens of others were had elsewhere, do not exist.
    @Test(arguments: [
        "/v3/ec2tokens", "/v3/s3tokens", "/v3/OS-EC2/tokens", "/v3/credentials", "/v3/OS-TRUST/trusts",
        "/v3/OS-OAUTH1/access_token", "/v3/auth/OS-FEDERATION/saml2", "/v2.0/tokens",
    ])
    func noOtherWayLeadsToAToken(path: String) async throws {
        let bench = try await IdentityBench()
        let body: JSONValue = ["credentials": ["access": "x", "signature": "y", "token": "z"]]
        let own = try await bench.memberToken()
        for token in [nil, own] {
            let answer = try await bench.call(.post, path, token: token, body)
            #expect([401, 404].contains(answer.status) && answer.token.isEmpty, "\(answer.status)")
        }
    }

    @Test func answersOtherMethodsAndPathsInKeystonesShape() async throws {
        let bench = try await IdentityBench()
        let method = try await bench.call(.put, "/v3/users", token: bench.adminToken())
        #expect(method.status == 405 && method["error", "title"] == "Method Not Allowed")
        let path = try await bench.call(.get, "/v3/nothing", token: bench.adminToken())
        #expect(path.status == 404 && path["error", "code"] == 404)
    }
}

@Suite struct ApplicationCredentialTests {
    private func make(_ bench: IdentityBench, token: String, _ body: JSONValue) async throws -> Answer {
        try await bench.call(
            .post, "/v3/users/\(bench.userID("ann"))/application_credentials", token: token,
            ["application_credential": body])
    }

    private func logIn(_ bench: IdentityBench, _ credential: Answer, scope: JSONValue? = nil) async throws -> Answer {
        let made = credential["application_credential"]
        return try await bench.logIn(
            [
                "methods": ["application_credential"],
                "application_credential": ["id": made?["id"] ?? .null, "secret": made?["secret"] ?? .null],
            ], scope: scope)
    }

    @Test func opensItsProjectOnly() async throws {
        let bench = try await IdentityBench()
        let made = try await make(
            bench, token: bench.memberToken(),
            ["name": "ci", "description": .null, "secret": .null, "expires_at": .null, "roles": .null])
        #expect(made.status == 201)
        #expect(made["application_credential", "unrestricted"] == false)
        #expect(made["application_credential", "roles"]?.array?.count == 2)
        let answer = try await logIn(bench, made)
        #expect(answer.status == 201)
        #expect(answer["token", "project", "name"] == "demo")
        #expect(answer["token", "application_credential", "restricted"] == true)
        #expect(try await logIn(bench, made, scope: IdentityBench.project("demo")).status == 201)
        #expect(try await logIn(bench, made, scope: IdentityBench.project("empty")).status == 401)
        #expect(try await logIn(bench, made, scope: "unscoped").status == 401)
        let elsewhere = try await bench.logIn(
            IdentityBench.token(answer.token), scope: IdentityBench.project("empty"))
        #expect(elsewhere.status == 401)
    }

    @Test func isFoundByNameToo() async throws {
        let bench = try await IdentityBench()
        let made = try await make(bench, token: bench.memberToken(), ["name": "ci", "secret": "own-secret"])
        #expect(made["application_credential", "secret"] == "own-secret")
        let answer = try await bench.logIn([
            "methods": ["application_credential"],
            "application_credential": [
                "name": "ci", "user": ["name": "ann", "domain": ["id": "default"]], "secret": "own-secret",
            ],
        ])
        #expect(answer.status == 201)
    }

    @Test func carriesOnlyTheRolesAsked() async throws {
        let bench = try await IdentityBench()
        let made = try await make(bench, token: bench.memberToken(), ["name": "ci", "roles": [["name": "reader"]]])
        let answer = try await logIn(bench, made)
        #expect(answer["token", "roles"]?.array?.compactMap { $0["name"]?.string } == ["reader"])
        let tooMuch = try await make(bench, token: bench.memberToken(), ["name": "x", "roles": [["name": "admin"]]])
        #expect(tooMuch.status == 400)
    }

    @Test func expires() async throws {
        let bench = try await IdentityBench()
        let made = try await make(
            bench, token: bench.memberToken(), ["name": "ci", "expires_at": "2027-01-15T09:00:00.000000"])
        #expect(made["application_credential", "expires_at"] == "2027-01-15T09:00:00.000000")
        let answer = try await logIn(bench, made)
        #expect(answer["token", "expires_at"] == "2027-01-15T09:00:00.000000Z")
        bench.clock.advance(3600)
        #expect(try await logIn(bench, made).status == 401)
        let past = try await make(
            bench, token: bench.memberToken(), ["name": "b", "expires_at": "2020-01-01T00:00:00"])
        #expect(past.status == 400)
    }

    @Test func makesNoOthersUnlessUnrestricted() async throws {
        let bench = try await IdentityBench()
        let restricted = try await logIn(bench, try await make(bench, token: bench.memberToken(), ["name": "a"]))
        #expect(try await make(bench, token: restricted.token, ["name": "b"]).status == 403)
        let free = try await logIn(
            bench, try await make(bench, token: bench.memberToken(), ["name": "c", "unrestricted": true]))
        #expect(try await make(bench, token: free.token, ["name": "d"]).status == 201)
    }

    @Test func isListedShownAndDeletedByItsOwner() async throws {
        let bench = try await IdentityBench()
        let token = try await bench.memberToken()
        let made = try await make(bench, token: token, ["name": "ci"])
        let credential = try await logIn(bench, made)
        let path = "/v3/users/\(try await bench.userID("ann"))/application_credentials"
        let id = try #require(made["application_credential", "id"]?.string)
        let list = try await bench.call(.get, path, token: token)
        #expect(list["application_credentials", "0", "id"] == .string(id))
        #expect(list["application_credentials", "0", "secret"] == nil)
        #expect(try await bench.call(.get, "\(path)/ci", token: token).status == 404)
        #expect(
            try await bench.call(.get, path + "?name=ci", token: token)["application_credentials"]?.array?.count == 1)
        #expect(try await bench.call(.get, "\(path)/\(id)", token: token).status == 200)
        #expect(try await make(bench, token: token, ["name": "ci"]).status == 409)
        bench.clock.advance(1)
        #expect(try await bench.call(.delete, "\(path)/\(id)", token: token).status == 204)
        #expect(try await bench.call(.get, "/v3/auth/projects", token: credential.token).status == 401)
        #expect(try await bench.call(.get, "/v3/auth/projects", token: token).status == 200)
    }

    @Test func belongsToItsOwner() async throws {
        let bench = try await IdentityBench()
        #expect(try await make(bench, token: bench.adminToken(), ["name": "x"]).status == 403)
        let rules: JSONValue = ["name": "x", "access_rules": [["path": "/"]]]
        #expect(try await make(bench, token: bench.memberToken(), rules).status == 400)
    }
}

@Suite struct BootstrapTests {
    @Test func changesNothingTheSecondTime() async throws {
        let bench = try await IdentityBench()
        #expect(try await bench.bootstrap.run(IdentityBench.document).isEmpty)
    }

    @Test func saysWhatItMade() async throws {
        let bench = try await IdentityBench()
        var document = IdentityBench.document
        document.projects.append(.init(name: "new"))
        document.users[1].password = Secret("changed")
        document.users[1].roles.append("manager")
        let changes = try await bench.bootstrap.run(document)
        #expect(
            changes == [
                .project("new"), .password(user: "ann"), .assignment(user: "ann", project: "demo", role: "manager"),
            ])
        #expect(try await bench.logIn(IdentityBench.password("ann", "changed")).status == 201)
    }

    @Test func refusesDocumentsThatContradictThemselves() async throws {
        let bench = try await IdentityBench()
        var document = IdentityBench.document
        document.users[0].project = "nowhere"
        await #expect(throws: BootstrapError.unknownProject(user: "admin", project: "nowhere")) {
            try await bench.bootstrap.run(document)
        }
    }

    @Test(arguments: IdentityContract.cases)
    func theStandInKeepsTheContract(of test: IdentityContract.Case) async throws {
        try await test.run(InMemoryIdentityRepository())
    }
}

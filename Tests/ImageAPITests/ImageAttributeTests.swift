import CloudModel
import FoundationEssentials
import HTTPKit
import HTTPTypes
import Primitives
import TestSupport
import Testing

@testable import ImageAPI

@Suite struct ImageAttributeTests {
    @Test func announcesItsVersions() async throws {
        let answer = try await ImageBench().call(.get, "", as: nil)
        #expect(answer.status == 300)
        #expect(answer["versions", "0", "id"] == "v2.16" && answer["versions", "0", "status"] == "CURRENT")
        #expect(answer["versions", "0", "links", "0", "href"] == "http://localhost/image/v2/")
        #expect(answer["versions"]?.array?.last?["id"] == "v2.0")
    }

    @Test func makesImages() async throws {
        let bench = try ImageBench()
        let answer = try await bench.create([
            "name": "cirros", "os_distro": "x", "owner_specified.openstack.md5": "", "min_disk": 1, "min_ram": 64,
            "tags": ["b", "a", "b"], "protected": true,
        ])
        #expect(answer.status == 201)
        #expect(answer.headers[.location] == "http://localhost/image/v2/images/\(answer.id)")
        #expect(answer["status"] == "queued" && answer["visibility"] == "shared" && answer["owner"] == "p1")
        #expect(answer["os_distro"] == "x" && answer["owner_specified.openstack.md5"] == "")
        #expect(answer["min_disk"] == 1 && answer["tags"] == ["a", "b"] && answer["protected"] == true)
        #expect(answer["size"] == .null && answer["checksum"] == .null && answer["os_hash_value"] == .null)
        #expect(answer["created_at"] == "2027-01-15T08:00:00Z")
        #expect(answer["file"] == .string("/v2/images/\(answer.id)/file") && answer["schema"] == "/v2/schemas/image")
        #expect(try await bench.show(answer.id).body == answer.body)
    }

    @Test func takesAnIdFromTheClient() async throws {
        let bench = try ImageBench()
        let id = "5d3c1b9a-7c43-4a8e-9c55-4a5cfa3c9b11"
        #expect(try await bench.create(["id": .string(id)]).id == id)
        #expect(try await bench.create(["id": .string(id)]).status == 409)
        #expect(try await bench.create(["id": "five"]).status == 400)
    }

    @Test(
        arguments: [
            (["disk_format": "vhd"], 400), (["container_format": "tar"], 400), (["name": 5], 400),
            (["name": .string(String(repeating: "n", count: 256))], 400), (["visibility": "secret"], 400),
            (["visibility": "public"], 403), (["owner": "p2"], 403), (["status": "active"], 403), (["size": 5], 403),
            (["checksum": "x"], 403), (["min_disk": -1], 400), (["min_ram": "1"], 400), (["protected": "yes"], 400),
            (["tags": "a"], 400), (["tags": [""]], 400), (["x": 5], 400), (["x": ["y": "z"]], 400),
            (["locations": []], 403),
            (["x": "a\0"], 400), ([], 400), ("image", 400),
        ] as [(JSONValue, Int)])
    func refusesBadAttributes(body: JSONValue, status: Int) async throws {
        let bench = try ImageBench()
        let answer =
            body.object == nil
            ? try await bench.call(.post, "/v2/images", body) : try await bench.create(body)
        #expect(answer.status == status)
        #expect(answer["code"]?.string?.hasPrefix("\(status) ") == true)
    }

    @Test func boundsPropertiesAndTags() async throws {
        let bench = try ImageBench()
        let many = Dictionary(uniqueKeysWithValues: (0..<129).map { ("k\($0)", JSONValue.string("v")) })
        #expect(try await bench.create(.object(many)).status == 413)
        #expect(try await bench.create(["tags": .array((0..<129).map { .string("t\($0)") })]).status == 413)
    }

    @Test func letsAdministratorsPublish() async throws {
        let bench = try ImageBench()
        let answer = try await bench.create(["visibility": "public", "owner": "p9"], as: "admin")
        #expect(answer["visibility"] == "public" && answer["owner"] == "p9")
    }

    @Test func letsReadersOnlyRead() async throws {
        let bench = try ImageBench()
        #expect(try await bench.create(as: "p1:reader").status == 403)
        let image = try await bench.create()
        #expect(try await bench.show(image.id, as: "p1:reader").status == 200)
        #expect(try await bench.call(.delete, "/v2/images/\(image.id)", as: "p1:reader").status == 403)
    }

    @Test func hidesWhatBelongsToOthers() async throws {
        let bench = try ImageBench()
        for visibility in ["private", "shared"] {
            let image = try await bench.create(["visibility": .string(visibility)])
            for token in ["p2:member", "p2:reader"] {
                #expect(try await bench.show(image.id, as: token).status == 404)
                #expect(try await bench.call(.delete, "/v2/images/\(image.id)", as: token).status == 404)
                #expect(try await bench.patch(image.id, [], as: token).status == 404)
                #expect(try await bench.upload(image.id, [1], as: token).status == 404)
                #expect(try await bench.call(.get, "/v2/images/\(image.id)/file", as: token).status == 404)
            }
            #expect(try await bench.show(image.id, as: "admin").status == 200)
        }
        let community = try await bench.create(["visibility": "community"])
        #expect(try await bench.show(community.id, as: "p2:member").status == 200)
        #expect(try await bench.call(.delete, "/v2/images/\(community.id)", as: "p2:member").status == 403)
    }

    @Test(arguments: ["cirros", "%2E%2E%2Fpasswd", "5d3c1b9a", "5d3c1b9a-7c43-4a8e-9c55-4a5cfa3c9b11"])
    func answersIdsThatAreNoneWithNotFound(id: String) async throws {
        let answer = try await ImageBench().show(id)
        #expect(answer.status == 404)
        #expect(answer["title"] == "Not Found")
    }

    @Test func needsAToken() async throws {
        let bench = try ImageBench()
        #expect(try await bench.call(.get, "/v2/images", as: nil).status == 401)
        #expect(try await bench.call(.get, "/v2/images/x/file", as: nil).status == 401)
        #expect(try await bench.call(.put, "/v2/images/x/file", as: "bad", data: []).status == 401)
    }

    @Test func deletesImages() async throws {
        let bench = try ImageBench()
        let image = try await bench.create(["protected": true])
        #expect(try await bench.call(.delete, "/v2/images/\(image.id)").status == 403)
        let free: JSONValue = [["op": "replace", "path": "/protected", "value": false]]
        #expect(try await bench.patch(image.id, free).status == 200)
        #expect(try await bench.call(.delete, "/v2/images/\(image.id)").status == 204)
        #expect(try await bench.call(.delete, "/v2/images/\(image.id)").status == 404)
    }

    @Test func tags() async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        let path = "/v2/images/\(image.id)/tags/a%20b"
        #expect(try await bench.call(.put, path).status == 204)
        #expect(try await bench.call(.put, path).status == 204)
        #expect(try await bench.show(image.id)["tags"] == ["a b"])
        #expect(try await bench.call(.delete, path).status == 204)
        #expect(try await bench.call(.delete, path).status == 404)
    }

    @Test(
        arguments: [
            ("/v2/schemas/image", "name", "image"), ("/v2/schemas/images", "name", "images"),
            ("/v2/schemas/member", "name", "member"), ("/v2/schemas/members", "name", "members"),
            ("/v2/schemas/metadefs/namespace", "name", "namespace"), ("/v2/metadefs/namespaces", "namespaces", []),
            (
                "/v2/info/import", "import-methods",
                ["description": "Import methods available.", "type": "array", "value": []]
            ),
        ] as [(String, String, JSONValue)])
    func saysWhatClientsAsk(path: String, key: String, value: JSONValue) async throws {
        let answer = try await ImageBench().call(.get, path)
        #expect(answer.status == 200)
        #expect(answer[key] == value)
    }

    @Test func describesEveryAttributeItShows() async throws {
        let bench = try ImageBench()
        let shown = try await bench.create(["name": .null]).body.object ?? [:]
        let described = ImageSchemas.image["properties"]?.object ?? [:]
        #expect(Set(shown.keys) == Set(described.keys))
    }

    @Test func listsNoMembers() async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        #expect(try await bench.call(.get, "/v2/images/\(image.id)/members")["members"] == [])
    }
}

@Suite struct ImagePatchTests {
    private func patched(_ operations: JSONValue, as token: String = "p1:member") async throws -> Answer {
        let bench = try ImageBench()
        let image = try await bench.create(["name": "old", "k": "v", "a/b~c": "x"])
        return try await bench.patch(image.id, operations, as: token)
    }

    @Test func changesAttributes() async throws {
        let answer = try await patched([
            ["op": "replace", "path": "/name", "value": "new"], ["op": "add", "path": "/n", "value": "m"],
            ["op": "remove", "path": "/k"], ["op": "replace", "path": "/a~1b~0c", "value": "y"],
            ["op": "replace", "path": "/tags", "value": ["t"]], ["op": "add", "path": "/min_ram", "value": 5],
            ["op": "replace", "path": "/visibility", "value": "private"],
        ])
        #expect(answer.status == 200)
        #expect(answer["name"] == "new" && answer["n"] == "m" && answer["k"] == nil && answer["a/b~c"] == "y")
        #expect(answer["tags"] == ["t"] && answer["min_ram"] == 5 && answer["visibility"] == "private")
    }

    @Test(
        arguments: [
            (["op": "replace", "path": "/nothing", "value": "x"], 409), (["op": "remove", "path": "/nothing"], 409),
            (["op": "remove", "path": "/name"], 403), (["op": "replace", "path": "/id", "value": "x"], 403),
            (["op": "replace", "path": "/status", "value": "active"], 403), (["op": "remove", "path": "/size"], 403),
            (["op": "replace", "path": "/visibility", "value": "public"], 403),
            (["op": "replace", "path": "/owner", "value": "p2"], 403),
            (["op": "test", "path": "/name", "value": "x"], 400),
            (["op": "add", "path": "/a/b", "value": "x"], 400), (["op": "add", "path": "name", "value": "x"], 400),
            (["op": "add", "path": "/name"], 400), (["op": "add", "path": "/x", "value": 5], 400),
            (["path": "/x", "value": "5"], 400), ("replace", 400),
            (["op": "add", "path": "/x", "value": "y", "z": 1], 400),
        ] as [(JSONValue, Int)])
    func refusesBadChanges(operation: JSONValue, status: Int) async throws {
        #expect(try await patched([operation]).status == status)
    }

    @Test func changesAllOrNothing() async throws {
        let bench = try ImageBench()
        let image = try await bench.create(["name": "old"])
        let operations: JSONValue = [
            ["op": "replace", "path": "/name", "value": "new"], ["op": "remove", "path": "/nothing"],
        ]
        #expect(try await bench.patch(image.id, operations).status == 409)
        #expect(try await bench.show(image.id)["name"] == "old")
    }

    @Test func wantsItsMediaType() async throws {
        let bench = try ImageBench()
        let image = try await bench.create()
        #expect(try await bench.call(.patch, "/v2/images/\(image.id)", []).status == 415)
        #expect(try await bench.patch(image.id, ["op": "add"]).status == 400)
    }
}

@Suite struct ImageListTests {
    private func names(_ answer: Answer) -> [String] {
        answer["images"]?.array?.compactMap { $0["name"]?.string } ?? []
    }

    @Test func pages() async throws {
        let bench = try ImageBench()
        for number in 1...5 {
            _ = try await bench.create(["name": "i\(number)"])
            bench.clock.advance(1)
        }
        var path = "/v2/images?limit=2&sort_key=name&sort_dir=asc"
        var seen: [String] = []
        while true {
            let page = try await bench.call(.get, path)
            #expect(page["first"] == "/v2/images?limit=2&sort_key=name&sort_dir=asc")
            #expect(page["schema"] == "/v2/schemas/images")
            seen += names(page)
            guard let next = page["next"]?.string else { break }
            path = next
        }
        #expect(seen == ["i1", "i2", "i3", "i4", "i5"])
        #expect(names(try await bench.call(.get, "/v2/images")) == ["i5", "i4", "i3", "i2", "i1"])
        #expect(names(try await bench.call(.get, "/v2/images?sort=name:asc")).first == "i1")
    }

    @Test func filters() async throws {
        let bench = try ImageBench()
        let one = try await bench.create(["name": "a,b", "os": "x", "tags": ["t"]])
        let two = try await bench.create(["name": "c", "disk_format": "qcow2", "visibility": "community"])
        _ = try await bench.create(["name": "d", "os_hidden": true])
        for (query, wanted) in [
            ("name=c", ["c"]), ("name=in:%22a%2Cb%22,c", ["c", "a,b"]), ("id=in%3A\(one.id),\(two.id)", ["c", "a,b"]),
            ("id=\(one.id)", ["a,b"]), ("id=name", []), ("status=active", []), ("disk_format=qcow2", ["c"]),
            ("tag=t", ["a,b"]),
            ("os=x", ["a,b"]), ("nothing=x", []), ("os_hidden=true", ["d"]), ("owner=p1", ["c", "a,b"]),
            ("owner=p2", []),
            ("visibility=community", ["c"]), ("created_at=gte:2027-01-15T08:00:00Z", ["c", "a,b"]),
            ("created_at=lt:2027-01-15T08:00:00Z", []), ("size_min=1", []), ("protected=false", ["c", "a,b"]),
            ("member_status=all", ["c", "a,b"]), ("limit=5000", ["c", "a,b"]),
        ] {
            let answer = try await bench.call(.get, "/v2/images?sort=name:desc&\(query)")
            #expect(names(answer) == wanted, "\(query)")
        }
        #expect(names(try await bench.call(.get, "/v2/images", as: "p2:member")).isEmpty)
    }

    @Test(arguments: [
        "limit=x", "limit=-1", "marker=x", "marker=5d3c1b9a-7c43-4a8e-9c55-4a5cfa3c9b11", "sort_key=x", "sort_dir=up",
        "sort=name:up", "sort=name:asc&sort_key=id", "sort_key=id&sort_dir=asc&sort_dir=asc", "visibility=x",
        "size_min=x", "size_max=-5", "os_hidden=maybe", "protected=2", "created_at=yesterday", "name=in:%22a", "name=%",
    ])
    func refusesWhatItCannotUnderstand(query: String) async throws {
        #expect(try await ImageBench().call(.get, "/v2/images?\(query)").status == 400)
    }
}

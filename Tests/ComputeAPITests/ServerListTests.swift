import APITestSupport
import CloudModel
import Primitives
import Testing

@Suite struct ServerListTests {
    /// Six servers, one created after the other, in both cells in turn.
    private func populated() async throws -> (ComputeBench, [String]) {
        let bench = try await ComputeBench()
        var ids: [String] = []
        for number in 1...6 {
            let cell = number % 2 == 1 ? InMemoryCloud.north : InMemoryCloud.south
            ids.append(try await bench.active(["name": .string("web-\(number)")], in: cell))
            bench.clock.advance(1)
        }
        return (bench, ids)
    }

    @Test func listsComeNewestFirstFromAllCells() async throws {
        let (bench, ids) = try await populated()
        let brief = try await bench.api.get(bench.path("servers"))
        #expect(brief.names("servers", "id") == ids.reversed())
        #expect(brief["servers", "0", "status"] == nil)
        let detail = try await bench.api.get(bench.path("servers/detail?deleted=False"), version: 100)
        #expect(detail.names("servers", "status") == Array(repeating: "ACTIVE", count: 6))
        #expect(detail["servers", "0", "server_groups"] == nil)
        #expect(detail["servers", "0", "OS-EXT-SRV-ATTR:host"] == nil)
        #expect(detail["servers_links"] == nil)
    }

    @Test func aPageAsksOnlyTheCellsThatHoldItsRows() async throws {
        let (bench, _) = try await populated()
        _ = try await bench.api.get(bench.path("servers/detail?name=web-1%24"))
        #expect(bench.cloud.calls == [InMemoryCloud.north: 1])
        _ = try await bench.api.get(bench.path("servers/detail"))
        #expect(bench.cloud.calls == [InMemoryCloud.north: 2, InMemoryCloud.south: 1])
    }

    @Test(arguments: [1, 2, 4, 5])
    func pagingFindsEachServerOnce(limit: Int) async throws {
        let (bench, ids) = try await populated()
        var found: [String] = []
        var path = bench.path("servers/detail?limit=\(limit)&sort_key=created_at&sort_dir=asc")
        for _ in 0..<10 {
            let page = try await bench.api.get(path, version: 42)
            #expect(page.status == 200)
            found += page.names("servers", "id")
            guard let link = page["servers_links", "0", "href"]?.string else { break }
            path = String(link.dropFirst("http://cloud".count))
        }
        #expect(found == ids)
    }

    @Test func horizonsThreeSortKeysAreUnderstood() async throws {
        let (bench, ids) = try await populated()
        let query =
            "limit=21&project_id=\(Person.annsProject)&sort_key=created_at&sort_dir=desc&sort_key=display_name"
            + "&sort_dir=desc&sort_key=uuid&sort_dir=desc"
        let answer = try await bench.api.get(bench.path("servers/detail?\(query)"), version: 42)
        #expect(answer.names("servers", "id") == ids.reversed())
    }

    @Test(arguments: [
        ("name=web-[12]", 2), ("name=WEB", 0), ("status=ACTIVE", 6), ("status=active", 6), ("status=ERROR", 0),
        ("status=ACTIVE&status=ERROR", 6), ("flavor=1", 6), ("flavor=9", 0),
        ("image=11111111-1111-4111-8111-111111111111", 6), ("image=x", 0), ("ip=10.0.0.2%24", 1), ("host=n1", 6),
        ("tags=x", 6), ("changes-since=2026-09-21T00:00:00Z", 6), ("changes-since=2036-01-01T00:00:00Z", 0),
        ("deleted=True", 6), ("all_tenants=False", 6), ("availability_zone=north", 6), ("what=ever", 6),
    ])
    func usersFilterByWhatTheyMay(query: String, count: Int) async throws {
        let (bench, _) = try await populated()
        let answer = try await bench.api.get(bench.path("servers?\(query)"), version: 25)
        #expect(answer.status == 200)
        #expect(answer.names("servers", "id").count == count)
    }

    @Test func someFiltersComeWithTheVersion() async throws {
        let (bench, _) = try await populated()
        let path = bench.path("servers?availability_zone=north")
        #expect(try await bench.api.get(path, version: 82).names("servers").count == 6)
        #expect(try await bench.api.get(path, version: 83).names("servers").count == 3)
        #expect(try await bench.api.get(bench.path("servers?host=n1"), as: .root).names("servers").isEmpty)
        let all = try await bench.api.get(bench.path("servers?host=n1&all_tenants=1"), as: .root)
        #expect(all.names("servers").count == 3)
        let others = try await bench.api.get(
            bench.path("servers?all_tenants=1&project_id=\(Person.annsProject)"), as: .root)
        #expect(others.names("servers").count == 6)
        #expect(try await bench.api.get(bench.path("servers?tags=blue"), version: 26).names("servers").isEmpty)
        #expect(try await bench.api.get(bench.path("servers?not-tags=blue"), version: 26).names("servers").count == 6)
    }

    @Test(arguments: [
        ("limit=-1", 1, 400), ("limit=x", 1, 400), ("marker=x", 1, 400),
        ("marker=22222222-2222-4222-8222-222222222222", 1, 400), ("sort_key=colour", 1, 400), ("sort_dir=up", 1, 400),
        ("sort_key=uuid&sort_dir=asc&sort_dir=asc", 1, 400), ("sort_key=host", 1, 403), ("sort_key=vcpus", 75, 400),
        ("name=(", 1, 400),
        ("changes-since=yesterday", 1, 400), ("status=ODD", 38, 400), ("all_tenants=1", 1, 403),
        ("all_tenants=perhaps", 1, 400), ("status=DELETED", 1, 403), ("what=ever", 75, 400), ("locked=x", 73, 400),
        ("changes-since=2026-01-02&changes-before=2026-01-01", 66, 400),
    ])
    func badQueriesAreRefused(query: String, minor: Int, status: Int) async throws {
        let (bench, _) = try await populated()
        #expect(try await bench.api.get(bench.path("servers?\(query)"), version: minor).status == status)
    }

    @Test func projectsDoNotSeeEachOther() async throws {
        let (bench, ids) = try await populated()
        #expect(try await bench.api.get(bench.path("servers"), as: .bob).names("servers").isEmpty)
        #expect(try await bench.api.get(bench.path("servers/\(ids[0])"), as: .bob).status == 404)
        #expect(try await bench.api.get(bench.path("servers/\(ids[0])"), as: .rita).status == 200)
        let asAdmin = try await bench.api.get(bench.path("servers/\(ids[0])"), as: .root, version: 100)
        #expect(asAdmin["server", "OS-EXT-SRV-ATTR:host"] == "n1")
        #expect(asAdmin["server", "host_status"] == "UP")
        let all = try await bench.api.get(bench.path("servers/detail?all_tenants=True"), as: .root)
        #expect(all.names("servers", "id").count == 6)
    }

    @Test func aCellThatIsDownCostsItsOwnRowsOnly() async throws {
        let (bench, ids) = try await populated()
        bench.cloud.setDown(InMemoryCloud.south)
        let old = try await bench.api.get(bench.path("servers/detail"), version: 68)
        #expect(old.names("servers", "id") == [ids[4], ids[2], ids[0]])
        let new = try await bench.api.get(bench.path("servers/detail"), version: 69)
        #expect(new.names("servers", "id") == ids.reversed())
        #expect(
            new.names("servers", "status") == ["UNKNOWN", "ACTIVE", "UNKNOWN", "ACTIVE", "UNKNOWN", "ACTIVE"])
        #expect(new["servers", "0", "flavor"] == nil)
        #expect(try await bench.api.get(bench.path("servers/\(ids[1])"), version: 68).status == 503)
        let partial = try await bench.api.get(bench.path("servers/\(ids[1])"), version: 69)
        #expect(partial["server", "status"] == "UNKNOWN")
        #expect(partial["server", "flavor", "original_name"] == "m1.tiny")
        #expect(try await bench.api.get(bench.path("servers?limit=2"), version: 69).names("servers", "id").count == 2)
    }

    @Test func aServerShownAgainIsAskedOfItsCellAlone() async throws {
        let (bench, ids) = try await populated()
        let path = bench.path("servers/\(ids[1])")
        for _ in 1...3 { #expect(try await bench.api.get(path)["server", "status"] == "ACTIVE") }
        #expect(bench.cloud.finds == 1)
        #expect(try await bench.api.get(path, as: .bob).status == 404)
        // Its cell no longer has it: the directory decides.
        bench.cloud.setState(
            try #require(ServerID(ids[1])), ServerState(vm: .deleted, task: nil, power: .noState))
        #expect(try await bench.api.get(path).status == 404)
        #expect(try await bench.api.get(path).status == 404)
    }

    @Test(arguments: ["web-1", "0", "22222222-2222-4222-8222-222222222222", "x%2Fy"])
    func whatIsNoServerIsNotFound(id: String) async throws {
        let (bench, _) = try await populated()
        let answer = try await bench.api.get(bench.path("servers/\(id)"))
        #expect(answer.status == 404)
        #expect(answer["itemNotFound", "code"] == 404)
    }
}

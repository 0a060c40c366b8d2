import APITestSupport
import CellProtocol
import CloudModel
import HTTPTypes
import Primitives
import Testing

@Suite struct CellsAPITests {
    @Test func theVersionIsReadWithoutAToken() async throws {
        let bench = CellsBench()
        let versions = try await bench.api.get("/cells", as: nil)
        #expect(versions.status == 200)
        #expect(versions["versions", "0", "id"] == "v1")
        #expect(versions["versions", "0", "status"] == "CURRENT")
        let version = try await bench.api.get("/cells/v1", as: nil)
        #expect(version["version", "links", "0", "href"] == "http://cloud/cells/v1/")
    }

    @Test(arguments: [
        ("GET", "cells"), ("GET", "cells/north"), ("PUT", "cells/north"), ("DELETE", "cells/north"), ("GET", "hosts"),
        ("GET", "hosts/n1"), ("PUT", "hosts/n1"), ("GET", "servers/11111111-1111-4111-8111-111111111111"),
        ("GET", "sagas"), ("GET", "sagas/11111111-1111-4111-8111-111111111111"),
        ("PUT", "sagas/11111111-1111-4111-8111-111111111111"),
    ])
    func onlyAdministratorsMay(method: String, path: String) async throws {
        let bench = CellsBench()
        let method = try #require(HTTPRequest.Method(method))
        for person in [Person.ann, .rita] {
            let answer = try await bench.api.send(method, bench.path(path), ["cell": ["state": "disabled"]], as: person)
            #expect(answer.status == 403)
            #expect(answer["forbidden", "code"] == 403)
        }
        #expect(try await bench.api.send(method, bench.path(path), nil as JSONValue?, as: nil).status == 401)
        #expect(try await bench.cloud.cell(InMemoryCloud.north)?.order.state == .enabled)
    }

    @Test func theTreeShowsEveryCellWithItsHealthAndWhatItHas() async throws {
        let bench = CellsBench()
        _ = bench.server(in: InMemoryCloud.north, on: "n1")
        bench.cloud.setDown(InMemoryCloud.south)
        let answer = try await bench.api.get(bench.path("cells"), as: .root)
        #expect(answer.names("cells", "path") == ["/north", "/south"])
        #expect(answer["cells", "0", "parent"] == "/")
        #expect(answer["cells", "0", "health", "state"] == "up")
        #expect(answer["cells", "1", "health", "state"] == "down")
        #expect(answer["cells", "0", "servers", "total"] == 1)
        #expect(answer["cells", "0", "hosts"] == ["total": 2, "up": 2, "enabled": 2])
        #expect(answer["cells", "0", "capacity", "vcpus"] == ["total": 8, "usable": 128, "used": 2])
        #expect(answer["cells", "0", "placement", "state"] == "enabled")
        #expect(answer["cells", "0", "versions", "supervisor"] == "1")
        #expect(answer["cells_links"] == nil)
    }

    @Test func pagesFollowOneAnotherWithoutLossAndAreBounded() async throws {
        let bench = CellsBench()
        let first = try await bench.api.get(bench.path("cells?limit=1"), as: .root)
        #expect(first.names("cells", "path") == ["/north"])
        #expect(first["cells_links", "0", "rel"] == "next")
        let next = try #require(first["cells_links", "0", "href"]?.string).dropFirst("http://cloud".count)
        let second = try await bench.api.get(String(next), as: .root)
        #expect(second.names("cells", "path") == ["/south"])
        #expect(second["cells_links"] == nil)
        let hosts = try await bench.api.get(bench.path("hosts?limit=2"), as: .root)
        #expect(hosts.names("hosts") == ["n1", "n2"])
        let rest = try #require(hosts["hosts_links", "0", "href"]?.string).dropFirst("http://cloud".count)
        #expect(try await bench.api.get(String(rest), as: .root).names("hosts") == ["s1"])
        #expect(try await bench.api.get(bench.path("hosts?cell=/north"), as: .root).names("hosts") == ["n1", "n2"])
        for query in ["cells?limit=-1", "cells?limit=x", "cells?marker=north", "cells?colour=red", "hosts?cell=north"] {
            let answer = try await bench.api.get(bench.path(query), as: .root)
            #expect(answer.status == 400 && answer["badRequest", "code"] == 400, "\(query)")
        }
    }

    @Test func aCellIsDrainedAndEnabledAgain() async throws {
        let bench = CellsBench()
        _ = bench.server(in: InMemoryCloud.north, on: "n1")
        bench.clock.advance(60)
        let drained = try await bench.api.put(
            bench.path("cells/north"), ["cell": ["state": "draining", "reason": "new racks"]], as: .root)
        #expect(drained.status == 200)
        #expect(
            drained["cell", "placement"]
                == ["state": "draining", "reason": "new racks", "since": .string(Timestamp.seconds(bench.clock.now()))])
        #expect(drained["cell", "servers", "total"] == 1)
        let shown = try await bench.api.get(bench.path("cells/north"), as: .root)
        #expect(shown["cell", "placement", "state"] == "draining")
        let other = try await bench.api.get(bench.path("cells/south"), as: .root)
        #expect(other["cell", "placement", "state"] == "enabled")
        let enabled = try await bench.api.put(bench.path("cells/north"), ["cell": ["state": "enabled"]], as: .root)
        #expect(enabled["cell", "placement", "state"] == "enabled")
        #expect(enabled["cell", "placement", "reason"] == .null)
    }

    @Test func oddOrdersAreRefusedAndChangeNothing() async throws {
        let bench = CellsBench()
        let bodies: [JSONValue] = [
            ["cell": ["state": "gone"]], ["cell": .object([:])], ["state": "disabled"], .array([]),
            ["cell": ["state": "disabled", "colour": "red"]], ["cell": ["state": "enabled", "reason": "x"]],
            ["cell": ["state": "disabled", "reason": .string(String(repeating: "x", count: 256))]],
        ]
        for body in bodies {
            let answer = try await bench.api.put(bench.path("cells/north"), body, as: .root)
            #expect(answer.status == 400, "\(body.text)")
        }
        #expect(try await bench.cloud.cell(InMemoryCloud.north)?.order.state == .enabled)
        for path in ["cells/west", "cells/north/x", "cells/NORTH"] {
            #expect(try await bench.api.get(bench.path(path), as: .root).status == 404)
            let answer = try await bench.api.put(bench.path(path), ["cell": ["state": "disabled"]], as: .root)
            #expect(answer.status == 404 && answer["itemNotFound", "code"] == 404)
            #expect(try await bench.api.delete(bench.path(path), as: .root).status == 404)
        }
        #expect(try await bench.api.post(bench.path("cells/north"), .object([:]), as: .root).status == 405)
    }

    @Test func aCellWithServersIsNotForgotten() async throws {
        let bench = CellsBench()
        _ = bench.server(in: InMemoryCloud.north, on: "n1")
        let refused = try await bench.api.delete(bench.path("cells/north"), as: .root)
        #expect(refused.status == 409)
        #expect(refused["conflictingRequest", "message"]?.string?.contains("has 1 server.") == true)
        #expect(try await bench.api.delete(bench.path("cells/south"), as: .root).status == 204)
        #expect(try await bench.api.get(bench.path("cells"), as: .root).names("cells", "path") == ["/north"])
    }

    @Test func aHostIsClosedAtTheRootAndInItsCell() async throws {
        let bench = CellsBench()
        let drained = try await bench.api.put(
            bench.path("hosts/n1"), ["host": ["state": "draining", "reason": "disk"]], as: .root)
        #expect(drained.status == 200)
        #expect(drained["host", "placement", "state"] == "draining")
        #expect(drained["host", "known_to_cell"] == true)
        #expect(drained["host", "cell"] == "/north")
        #expect(bench.cloud.calls[InMemoryCloud.north] == 1)
        let enabled = try await bench.api.put(bench.path("hosts/n1"), ["host": ["state": "enabled"]], as: .root)
        #expect(enabled["host", "placement", "state"] == "enabled")
        #expect(try await bench.api.get(bench.path("hosts/n9"), as: .root).status == 404)
        let unknown = try await bench.api.put(bench.path("hosts/n9"), ["host": ["state": "disabled"]], as: .root)
        #expect(unknown.status == 404)
    }

    @Test func aHostOfACellThatIsDownCanBeClosedAndNotOpened() async throws {
        let bench = CellsBench()
        bench.cloud.setDown(InMemoryCloud.north)
        let closed = try await bench.api.put(bench.path("hosts/n1"), ["host": ["state": "disabled"]], as: .root)
        #expect(closed.status == 200)
        #expect(closed["host", "known_to_cell"] == false)
        #expect(closed["host", "placement", "state"] == "disabled")
        let opened = try await bench.api.put(bench.path("hosts/n1"), ["host": ["state": "enabled"]], as: .root)
        #expect(opened.status == 503)
        let shown = try await bench.api.get(bench.path("hosts/n1"), as: .root)
        #expect(shown["host", "placement", "state"] == "disabled")
    }

    @Test func aServerIsFoundWithTheWayItTook() async throws {
        let bench = CellsBench()
        let id = bench.server(in: InMemoryCloud.north, on: "n2")
        let now = bench.clock.now()
        bench.cloud.setPlacements(
            [
                .init(
                    epoch: 1, cell: InMemoryCloud.south, host: "s1", placedAt: now, failure: "no disk", failedAt: now),
                .init(epoch: 2, cell: InMemoryCloud.north, host: "n2", placedAt: now),
            ], of: id)
        try await bench.actions.record([
            InstanceActionRecord(
                serverID: id, action: "create", requestID: "req-1", userID: Person.ann.userID,
                projectID: Person.annsProject, startedAt: now)
        ])
        let answer = try await bench.api.get(bench.path("servers/\(id)"), as: .root)
        #expect(answer["server", "cell"] == "/north")
        #expect(answer["server", "cell_health"] == "up")
        #expect(answer["server", "host"] == "n2")
        #expect(answer["server", "placements", "0", "failure"] == "no disk")
        #expect(answer["server", "placements", "1", "host"] == "n2")
        #expect(answer["server", "actions", "0", "request_id"] == "req-1")
        #expect(try await bench.api.get(bench.path("servers/x"), as: .root).status == 404)
        let nobody = "22222222-2222-4222-8222-222222222222"
        #expect(try await bench.api.get(bench.path("servers/\(nobody)"), as: .root).status == 404)
    }
}

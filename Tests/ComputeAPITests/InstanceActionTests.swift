import APITestSupport
import CellProtocol
import CloudModel
import Foundation
import Primitives
import Testing

/// `os-instance-actions` as views of what cells tell, by microversion.
@Suite struct InstanceActionTests {
    private let bench: ComputeBench
    private let server: ServerID
    private let path: String
    private let create: String

    private static let start = Date(timeIntervalSince1970: 1_800_000_000)

    init() async throws {
        bench = try await ComputeBench()
        let id = try await bench.active()
        server = try #require(ServerID(id))
        path = bench.path("servers/\(id)/os-instance-actions")
        let list = try await bench.api.get(path, version: 84)
        create = try #require(list["instanceActions", "0", "request_id"]?.string)
    }

    private func told(
        _ action: String, _ request: String, at seconds: Double = 0, for duration: Double? = 3, message: String? = nil,
        host: HostName = "n1", steps: [StepRun] = []
    ) -> ActionsRequest.Action {
        let startedAt = Self.start + seconds
        let end = duration.map { startedAt + $0 }
        return .init(
            action: action, requestID: request, userID: Person.ann.userID.text, projectID: Person.annsProject.text,
            startedAt: startedAt, finishedAt: end, updatedAt: end ?? startedAt, message: message, host: host,
            steps: steps)
    }

    private func tell(_ actions: [ActionsRequest.Action], by cell: CellPath = InMemoryCloud.north) {
        bench.cloud.setAnswers(of: cell) { request in
            guard let request = request as? ActionsRequest else { return nil }
            let wanted = actions.filter { action in request.requestID.map { $0 == action.requestID } ?? true }
            return ActionsRequest.Reply(actions: wanted)
        }
    }

    private static func run(
        _ step: String, at seconds: Double, for duration: Double? = 1, isUndo: Bool = false, error: String? = nil
    ) -> StepRun {
        StepRun(
            step: step, isUndo: isUndo, generation: 1, startedAt: start + seconds,
            finishedAt: duration.map { start + seconds + $0 }, isSuccess: duration.map { _ in error == nil },
            reason: error.map { _ in "No." }, details: error)
    }

    @Test func aFailedAndUndoneBuildTellsItsWholeStory() async throws {
        tell([
            told(
                "create", create, message: "No disk space.",
                steps: [Self.run("spawn", at: 0, error: "ENOSPC"), Self.run("spawn", at: 1, for: 2, isUndo: true)])
        ])
        bench.actions.setAttempts(
            [PlacementAttempt(cell: InMemoryCloud.north, host: "n1", placedAt: Self.start - 1)], of: server)
        let one = try await bench.api.get("\(path)/\(create)", as: .root, version: 84)
        #expect(one["instanceAction", "message"] == "No disk space.")
        #expect(one["instanceAction", "updated_at"] == "2027-01-15T08:00:03.000000")
        let events = one["instanceAction", "events"]?.array ?? []
        #expect(events.map { $0["event"] } == ["compute_undo_spawn", "compute_spawn", "scheduler_place"])
        #expect(events.map { $0["result"] } == ["Success", "Error", "Success"])
        #expect(events[1]["start_time"] == "2027-01-15T08:00:00.000000")
        #expect(events[1]["finish_time"] == "2027-01-15T08:00:01.000000")
        #expect(events[1]["details"] == "ENOSPC" && events[1]["host"] == "n1" && events[1]["traceback"] == .null)
        #expect(events[0]["details"] == .null)
    }

    @Test(arguments: [2, 50, 51, 57, 58, 61, 62, 83, 84, 100]) func eachVersionShowsWhatItHas(version: Int) async throws
    {
        tell([
            told("create", create, steps: [Self.run("spawn", at: 0, error: "EIO"), Self.run("spawn", at: 2, for: nil)])
        ])
        for person in [Person.ann, .root] {
            let isAdmin = person == .root
            let answer = try await bench.api.get("\(path)/\(create)", as: person, version: version)
            let action = try #require(answer["instanceAction"]?.object)
            #expect(action.keys.contains("updated_at") == (version >= 58))
            guard isAdmin || version >= 51 else {
                #expect(action["events"] == nil)
                continue
            }
            let events = try #require(action["events"]?.array)
            #expect(events.count == 2)
            for event in events {
                var keys: Set = ["event", "start_time", "finish_time", "result"]
                if isAdmin { keys.insert("traceback") }
                if version >= 62 { keys.insert("hostId") }
                if version >= 62, isAdmin { keys.insert("host") }
                if version >= 84, isAdmin { keys.insert("details") }
                #expect(Set(try #require(event.object).keys) == keys, "\(person) at 2.\(version)")
            }
            // Still at it.
            #expect(events[0]["finish_time"] == .null && events[0]["result"] == .null)
        }
    }

    @Test func hostIdHidesTheHostAndIsTheServersOwn() async throws {
        tell([told("create", create, steps: [Self.run("spawn", at: 0)])])
        let event = try await bench.api.get("\(path)/\(create)", version: 62)["instanceAction", "events", "0"]
        let shown = try await bench.api.get(bench.path("servers/\(server)"), version: 62)
        #expect(event?["hostId"] == shown["server", "hostId"] && event?["host"] == nil)
    }

    @Test func aBuildThatWentToAnotherCellIsToldByBoth() async throws {
        tell([
            told("create", create, at: 0, message: "No disk space.", steps: [Self.run("spawn", at: 0, error: "ENOSPC")])
        ])
        tell([told("create", create, at: 10, host: "s1", steps: [Self.run("spawn", at: 10)])], by: InMemoryCloud.south)
        bench.actions.setAttempts(
            [
                .init(
                    cell: InMemoryCloud.north, host: "n1", placedAt: Self.start - 1, failure: "No disk space.",
                    failedAt: Self.start + 3),
                .init(cell: InMemoryCloud.south, host: "s1", placedAt: Self.start + 9),
            ], of: server)
        let one = try await bench.api.get("\(path)/\(create)", as: .root, version: 84)
        #expect(one["instanceAction", "message"] == .null)
        let events = one["instanceAction", "events"]?.array ?? []
        #expect(events.map { $0["host"] } == ["s1", "s1", "n1", "n1"])
        #expect(events.map { $0["result"] } == ["Success", "Success", "Error", "Error"])
    }

    @Test func whatOnlyTheCellKnowsIsListedToo() async throws {
        tell([told("stop", "req-cell", at: 60, for: nil), told("create", create)])
        let list = try await bench.api.get(path, version: 84)
        #expect(Set(list.names("instanceActions", "action")) == ["stop", "create"])
        let stop = try await bench.api.get("\(path)/req-cell", version: 84)
        #expect(stop["instanceAction", "action"] == "stop" && stop["instanceAction", "message"] == .null)
    }

    @Test func aCellThatIsDownLeavesWhatTheRootKnows() async throws {
        tell([told("create", create, message: "No.", steps: [Self.run("spawn", at: 0)])])
        bench.cloud.setDown(InMemoryCloud.north)
        let list = try await bench.api.get(path, version: 84)
        #expect(list.status == 200 && list.names("instanceActions", "request_id") == [create])
        let one = try await bench.api.get("\(path)/\(create)", version: 84)
        #expect(one["instanceAction", "events"] == [] && one["instanceAction", "message"] == .null)
    }

    @Test func actionsAreFilteredByWhenTheyChanged() async throws {
        tell([told("stop", "req-2", at: 3600), told("start", "req-3", at: 7200)])
        func requests(_ query: String, _ version: Int) async throws -> Set<String> {
            Set(try await bench.api.get("\(path)?\(query)", version: version).names("instanceActions", "request_id"))
        }
        let all: Set = [create, "req-2", "req-3"]
        #expect(try await requests("changes-since=2027-01-15T10:00:00Z", 58) == ["req-3"])
        #expect(try await requests("changes-before=2027-01-15T10:00:00Z", 66) == all.subtracting(["req-3"]))
        #expect(try await requests("changes-before=2027-01-15T10:00:00Z", 65) == all)
        #expect(try await requests("changes-since=2027-01-15T10:00:00Z", 57) == all)
        #expect(try await bench.api.get("\(path)?changes-since=yesterday", version: 58).status == 400)
        #expect(try await bench.api.get("\(path)?changes-before=yesterday", version: 66).status == 400)
        #expect(try await bench.api.get("\(path)?marker=req-9", version: 58).status == 400)
    }
}

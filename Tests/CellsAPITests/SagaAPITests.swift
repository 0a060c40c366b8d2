import APITestSupport
import CellProtocol
import CloudModel
import Foundation
import HTTPTypes
import Primitives
import Synchronization
import Testing

@Suite struct SagaAPITests {
    /// What one cell answers about its sagas, and what was asked of it.
    private final class Cell: Sendable {
        let sagas: Mutex<[SagaDescription]>
        let orders = Mutex<[SagaOrderRequest]>([])
        let filters = Mutex<[SagaFilter]>([])

        init(_ sagas: [SagaDescription]) { self.sagas = Mutex(sagas) }

        func answer(_ request: any CellRequest) -> (any Sendable)? {
            let known = sagas.withLock { $0 }
            switch request {
            case let request as SagasRequest:
                filters.withLock { $0.append(request.filter) }
                let behind = known.filter { saga in request.filter.after.map { $0 < saga.position } ?? true }
                return SagasRequest.Reply(sagas: Array(behind.prefix(request.filter.limit)))
            case let request as SagaRequest:
                return known.first { $0.id == request.id }.map { SagaRequest.Reply.found($0) } ?? .notFound
            case let request as SagaOrderRequest:
                orders.withLock { $0.append(request) }
                guard var saga = known.first(where: { $0.id == request.id }) else {
                    return SagaOrderRequest.Reply.notFound
                }
                guard saga.state == .parked else { return SagaOrderRequest.Reply.conflict(message: "it is live") }
                saga.state = request.order == .retry ? .live : .abandoned
                return SagaOrderRequest.Reply.done(saga)
            default: return nil
            }
        }
    }

    private let bench = CellsBench()
    private let north: Cell
    private let south: Cell

    private static let start = Date(timeIntervalSince1970: 1_800_000_000)

    private static func saga(_ number: Int, _ state: SagaState = .live) -> SagaDescription {
        let id = UUID(uuidString: "00000000-0000-4000-8000-0000000000\(10 + number)") ?? UUID()
        return SagaDescription(
            id: SagaID(id), name: "delete", version: 2, state: state, serverID: ServerID(id), host: "n1", epoch: 1,
            requestID: "req-\(number)", createdAt: start.addingTimeInterval(Double(number) + 0.25), changedAt: start,
            endedAt: nil, message: nil, step: "destroy", isUndoing: false, tries: 3, failure: "EIO",
            lease: .init(owner: "c1", until: start), leaseEpoch: 4, remains: "The guest.",
            steps: [StepRun(step: "destroy", isUndo: false, generation: 1, startedAt: start, isSuccess: false)],
            log: [.init(at: start, event: "started", step: "destroy", generation: 1)])
    }

    init() {
        let (north, south) = (Cell([Self.saga(0), Self.saga(2), Self.saga(4)]), Cell([Self.saga(1, .parked)]))
        (self.north, self.south) = (north, south)
        bench.cloud.setAnswers(of: InMemoryCloud.north) { north.answer($0) }
        bench.cloud.setAnswers(of: InMemoryCloud.south) { south.answer($0) }
    }

    private func requests(_ answer: Answer) -> [String] { answer.names("sagas", "request_id") }

    @Test func sagasOfAllCellsAreListedOldestFirstInPages() async throws {
        let all = try await bench.api.get(bench.path("sagas"), as: .root)
        #expect(requests(all) == ["req-0", "req-1", "req-2", "req-4"])
        #expect(all["sagas", "1", "cell"] == "/south" && all["sagas", "1", "state"] == "parked")
        #expect(all["sagas", "0", "lease", "owner"] == "c1" && all["sagas", "0", "lease_epoch"] == 4)
        #expect(all["cells_silent"] == [] && all["sagas_links"] == nil)
        var path = bench.path("sagas?limit=2")
        var seen: [String] = []
        for _ in 0..<3 {
            let page = try await bench.api.get(path, as: .root)
            seen += requests(page)
            guard let next = page["sagas_links", "0", "href"]?.string else { break }
            path = String(next.dropFirst("http://cloud".count))
        }
        #expect(seen == ["req-0", "req-1", "req-2", "req-4"])
    }

    @Test func whatIsAskedForIsAskedOfTheCells() async throws {
        let id = Self.saga(2).serverID
        let answer = try await bench.api.get(
            bench.path("sagas?cell=/north&state=parked&state=live&server=\(id)&host=n1&older_than=600&limit=10"),
            as: .root)
        #expect(answer.status == 200)
        let filter = try #require(north.filters.withLock { $0.last })
        #expect(filter.states == [.parked, .live] && filter.server == id && filter.host == "n1" && filter.limit == 11)
        #expect(filter.createdBefore == bench.clock.now() - 600)
        #expect(south.filters.withLock { $0.isEmpty })
        for query in [
            "state=gone", "server=x", "older_than=-1", "older_than=x", "cell=north", "marker=x", "limit=-1",
            "colour=red",
        ] {
            #expect(try await bench.api.get(bench.path("sagas?\(query)"), as: .root).status == 400, "\(query)")
        }
        #expect(try await bench.api.get(bench.path("sagas?cell=/west"), as: .root).status == 404)
    }

    @Test func aCellThatCanNotBeAskedIsNamed() async throws {
        bench.cloud.setDown(InMemoryCloud.south)
        let list = try await bench.api.get(bench.path("sagas"), as: .root)
        #expect(list.status == 200 && requests(list) == ["req-0", "req-2", "req-4"])
        #expect(list["cells_silent", "0", "path"] == "/south")
        let found = try await bench.api.get(bench.path("sagas/\(Self.saga(0).id)"), as: .root)
        #expect(found.status == 200 && found["saga", "cell"] == "/north")
        let unknown = try await bench.api.get(bench.path("sagas/\(Self.saga(1).id)"), as: .root)
        #expect(unknown.status == 503)
        bench.cloud.setAnswers(of: InMemoryCloud.north) { _ in nil }
        let old = try await bench.api.get(bench.path("sagas"), as: .root)
        #expect(old["cells_silent", "0", "reason"] == "it failed: no answer to cell.sagas")
    }

    @Test func oneIsShownWithItsStepsAndItsLog() async throws {
        let answer = try await bench.api.get(bench.path("sagas/\(Self.saga(1).id)"), as: .root)
        #expect(answer["saga", "steps", "0", "result"] == "error" && answer["saga", "log", "0", "event"] == "started")
        #expect(
            answer["saga", "created_at"] == "2027-01-15T08:00:01.250000Z" && answer["saga", "remains"] == "The guest.")
        for id in ["x", "22222222-2222-4222-8222-222222222222"] {
            #expect(try await bench.api.get(bench.path("sagas/\(id)"), as: .root).status == 404)
        }
    }

    @Test func anOperatorsWordReachesTheSagasCell() async throws {
        let parked = Self.saga(1).id
        let retried = try await bench.api.put(
            bench.path("sagas/\(parked)"), ["saga": ["order": "retry"]], as: .root)
        #expect(retried.status == 200 && retried["saga", "state"] == "live")
        let ended = try await bench.api.put(
            bench.path("sagas/\(parked)?cell=/south"), ["saga": ["order": "abandon", "reason": "burnt"]], as: .root)
        #expect(ended["saga", "state"] == "abandoned")
        #expect(
            south.orders.withLock { $0 } == [
                SagaOrderRequest(id: parked, order: .retry),
                SagaOrderRequest(id: parked, order: .abandon(reason: "burnt")),
            ])
        let refused = try await bench.api.put(
            bench.path("sagas/\(Self.saga(0).id)"), ["saga": ["order": "retry"]], as: .root)
        #expect(refused.status == 409)
        #expect(refused["conflictingRequest", "message"]?.string?.contains("can't be retried: it is live.") == true)
        let bodies: [JSONValue] = [
            ["saga": ["order": "explode"]], ["saga": .object([:])], ["saga": ["order": "retry", "reason": "x"]],
            ["saga": ["order": "abandon", "colour": "red"]],
        ]
        for body in bodies {
            #expect(
                try await bench.api.put(bench.path("sagas/\(parked)"), body, as: .root).status == 400, "\(body.text)")
        }
    }
}

import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives
import Testing

@Suite struct EncodedEventTests {
    /// Every kind of event, something in every field.
    private static let samples = WireSample.all.filter { $0.name.hasPrefix(SequencedEvent.kind + ".") }

    @Test("an event reads and writes itself as its coded form does, member for member", arguments: samples)
    func forms(sample: WireSample) throws {
        let coded = try sample.encode()
        let event = try JSONDecoder().decode(SequencedEvent.self, from: coded)
        #expect(try SequencedEvent(json: Array(coded)) == event)
        let text = Array(try event.event.text())
        #expect(try JSONDecoder().decode(CellEvent.self, from: Data(text)) == event.event)
        #expect(try CellEvent(json: text) == event.event)
    }

    @Test("a heartbeat and where a cell's broker is read and write themselves as their coded forms do")
    func cells() throws {
        let leaf = CellHeartbeat(
            cell: try #require(CellPath("/north")), version: "1", sentAt: WireSample.date, newestSequence: 7,
            databaseMilliseconds: 1.25, isDatabaseUp: true, conductorsUp: 1, hostsUp: 2, hosts: 3)
        var branch = leaf
        (branch.cells, branch.cellsDown, branch.supervisor) = (4, 1, "b#1")
        for heartbeat in [leaf, branch] {
            #expect(try CellHeartbeat(json: Array(JSONEncoder().encode(heartbeat))) == heartbeat)
            #expect(try JSONDecoder().decode(CellHeartbeat.self, from: Data(heartbeat.json)) == heartbeat)
            let standing = CellStanding(
                path: leaf.cell, health: .slow, reason: "its database is slow", since: WireSample.date,
                heartbeat: heartbeat)
            #expect(try CellStanding(json: Array(JSONEncoder().encode(standing))) == standing)
            #expect(try JSONDecoder().decode(CellStanding.self, from: Data(standing.json)) == standing)
        }
        var endpoint = CellMapping.Endpoint(host: "h", port: 5671, vhost: "v", user: "u", password: Secret("p"))
        #expect(try CellMapping.Endpoint(json: Array(JSONEncoder().encode(endpoint))) == endpoint)
        (endpoint.nextPassword, endpoint.tls, endpoint.authority) = (Secret("n"), true, "/etc/ca.pem")
        #expect(try CellMapping.Endpoint(json: Array(JSONEncoder().encode(endpoint))) == endpoint)
        #expect(throws: JSONSyntaxError.self) { try CellHeartbeat(json: Array("{}".utf8)) }
    }

    @Test("a request for servers reads and writes itself as its coded form does")
    func requests() throws {
        for group in [nil, ServerGroupID(WireSample.server.uuid)] {
            let request = GetRequest(
                ids: [WireSample.server, ServerID("8f2f8f5e-7a0c-4c5e-9a43-0d6f0c1a2b3c")].compactMap(\.self),
                view: ServerViewContext(
                    detail: .single, microversion: 96, computeURL: "https://c:8774/compute/v2.1", isAdmin: true,
                    serverGroup: group))
            for read in [
                try GetRequest(body: JSONEncoder().encode(request)),
                try JSONDecoder().decode(GetRequest.self, from: request.body()),
            ] {
                #expect(read.ids == request.ids && read.view == request.view)
            }
        }
        #expect(throws: JSONSyntaxError.self) { try GetRequest(body: Data("{\"ids\":[\"x\"]}".utf8)) }
    }

    @Test("a request tells a branch in which leaves its servers are, or it is not believed")
    func shares() throws {
        let north = try #require(CellPath("/north"))
        let (a, b) = (try #require(CellPath("/north/a")), try #require(CellPath("/north/b/c")))
        let servers = (1...3).map { ServerID(WireSample.identifier($0)) }
        let view = ServerViewContext(
            detail: .full, microversion: 96, computeURL: "https://c:8774/compute/v2.1", isAdmin: true)
        let request = GetRequest([(servers[0], a), (servers[1], b), (servers[2], a)], in: north, view: view)
        let places = [servers[0]: a, servers[1]: b, servers[2]: a]
        for read in [
            try GetRequest(body: JSONEncoder().encode(request)),
            try JSONDecoder().decode(GetRequest.self, from: request.body()),
        ] {
            #expect(read.leaves(below: north) == places && Set(read.ids) == Set(servers))
        }
        #expect(GetRequest(ids: servers, view: view).leaves(below: north) == nil)
        #expect(GetRequest([(servers[0], a)], in: a, view: view).shares == nil)
        #expect(request.leaves(below: a) == nil)
        for counts in [[1, 1], [2, 2], [4, -1], [Int.max, 1]] {
            var wrong = request
            wrong.shares = zip([a, b], counts).map { GetRequest.Share(leaf: $0, count: $1) }
            #expect(wrong.leaves(below: north) == nil, "\(counts)")
        }
    }

    @Test(
        "an event that lacks something or is of a kind to come is refused",
        arguments: [
            "{}", "{\"instanceChanged\":{}}", "{\"hostChanged\":{\"_0\":{\"name\":\"n1\"}}}",
            "{\"later\":{\"_0\":{\"a\":[1,{\"b\":2}]}}}",
        ])
    func refusals(text: String) {
        #expect(throws: JSONSyntaxError.self) { try CellEvent(json: Array(text.utf8)) }
    }

    @Test("a reply that is put together from texts is the one that is encoded")
    func text() throws {
        let cell = try #require(CellPath("/north"))
        let deletion = InstanceDeletion(id: WireSample.server, version: 3, deletedAt: WireSample.date)
        let events = [
            SequencedEvent(cell: cell, sequence: 1, event: .cellRemoved(try #require(CellPath("/north/a")))),
            SequencedEvent(
                cell: cell, sequence: 2, event: .instanceDeleted(deletion), origin: CellPath("/north/b")),
        ]
        let encoded = try events.map { try EncodedEvent($0) }
        let reply = try JSONDecoder().decode(
            EventsRequest.Reply.self, from: EventsRequest.Reply.text(encoded, of: cell, newest: 7))
        #expect(reply.events == events)
        #expect(reply.newest == 7)
        #expect(try encoded.map { try $0.decoded(of: cell) } == events)
        #expect(
            try JSONDecoder().decode(
                EventsRequest.Reply.self, from: EventsRequest.Reply.text([], of: cell, newest: 0)
            ).events.isEmpty)
    }
}

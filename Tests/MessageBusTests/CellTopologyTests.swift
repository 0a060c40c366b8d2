import FoundationEssentials
import MessageBus
import Primitives
import Testing

@Suite struct CellTopologyTests {
    @Test func hostKeyIsOneWord() {
        #expect(CellTopology.hostKey("n1.north.example") == "n1_north_example")
        #expect(CellTopology.hostQueue("n1.north") == "host.n1_north")
        #expect(
            CellTopology.reportAddress(host: "n1.north", kind: "heartbeat")
                == BusAddress(exchange: "reports", routingKey: "host.n1_north.heartbeat"))
    }

    @Test func conductorsTakeReportsAndAskersTheirAnswers() {
        let reports = TopicPattern(CellTopology.conductorPattern)
        let report = CellTopology.reportAddress(host: "n1.north", kind: "report").routingKey
        let reply = CellTopology.replyAddress(host: "n1.north", asker: "c1").routingKey
        #expect(reports.matches(report))
        #expect(!reports.matches(reply))
        #expect(TopicPattern(CellTopology.replyPattern(asker: "c1")).matches(reply))
        #expect(!TopicPattern(CellTopology.replyPattern(asker: "c2")).matches(reply))
    }

    @Test func theSenderIsReadFromTheRoutingKey() throws {
        let source = try #require(CellTopology.reportSource(routingKey: "host.n1_north.reply.c1"))
        #expect(source.hostKey == "n1_north")
        #expect(source.kind == "reply.c1")
        #expect(CellTopology.reportSource(routingKey: "host.n1") == nil)
        #expect(CellTopology.reportSource(routingKey: "event.n1.x") == nil)
        #expect(CellTopology.reportSource(routingKey: "host..x") == nil)
    }

    @Test(arguments: [
        ("#", "", true), ("#", "a.b", true), ("*", "", false), ("*", "a", true), ("*", "a.b", false),
        ("a.#", "a", true), ("a.*", "a", false), ("#.#", "a", true), ("#.b.#", "a.b.b.c", true),
        ("#.a.*.c", "a.a.b.c", true), ("*.#.*", "a", false), ("*.#.*", "a.b", true), ("", "", true),
        ("", "a", false), ("a", "A", false), ("a..b", "a..b", true), ("a.*.b", "a..b", true),
    ]) func topicPatterns(pattern: String, key: String, isMatch: Bool) {
        #expect(TopicPattern(pattern).matches(key) == isMatch)
    }
}

import CloudModel
import Testing
import Topology

@testable import Deployer

@Suite struct LogTests {
    @Test func aNameIsACellAHostAUnitOrAKind() throws {
        let topology = try smallTopology()
        let all = try LogSelection([], in: topology).sources
        #expect(all.count == ProcessLayout(topology).processes.count)
        let north = try LogSelection(["/north"], in: topology)
        #expect(try LogSelection(["north"], in: topology) == north)
        #expect(Set(north.sources.map(\.host)) == ["c1", "n1"])
        #expect(try LogSelection(["n1"], in: topology).sources.map(\.host) == ["n1"])
        let agents = try LogSelection(["compute"], in: topology)
        #expect(Set(agents.sources.map(\.host)) == ["n1", "s1"])
        let unit = try #require(agents.sources.first)
        #expect(try LogSelection([unit.unit], in: topology).sources.contains(unit))
        #expect(try LogSelection(["n1", "north"], in: topology).sources.count == north.sources.count)
        #expect(throws: CellsFailure.unknown("cell, host or process /nort", nearest: "/north")) {
            try LogSelection(["/nort"], in: topology)
        }
    }

    @Test func aLineIsReadFromTheJournal() throws {
        let entry =
            #"{"__REALTIME_TIMESTAMP":"1790000000123456","_SYSTEMD_UNIT":"cellwright-compute.service","#
            + #""MESSAGE":"{\"level\":\"notice\",\"message\":\"host is set\",\"host\":\"n1\",\"time\":\"x\"}"}"#
        let line = try #require(LogLine(entry, host: "n1"))
        #expect(line.time == 1_790_000_000_123_456)
        #expect(line.text == "14:13:20.123 n1 compute  notice  host is set  host=n1")
        #expect(LogLine("-- No entries --", host: "n1") == nil)
        let plain = try #require(
            LogLine(#"{"__REALTIME_TIMESTAMP":"1","UNIT":"x.service","MESSAGE":"Started."}"#, host: "n1"))
        #expect(plain.text.hasSuffix("n1 x  Started."))
    }

    @Test func theJournalIsAskedForWhatWasWantedAndNoMore() {
        let command = LogReader.command(["a.service"], .init(lines: 50_000, since: "it's late"), follows: false)
        #expect(command.contains("--lines=10000") && !command.contains("--follow"))
        #expect(command.contains(#"'--since=it'\''s late'"#))
    }

    @Test func aHostThatIsHeardNoMoreIsSaidInOneLine() {
        let lost = CommandFailure(command: "ssh", reason: .status(255, "a long line of a log"))
        #expect(LogReader.end(lost) == "its connection ended (status 255)")
    }
}

import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives
import Testing

@testable import ServerViews

@Suite struct ServerViewTests {
    static let goldenMinors = [1, 3, 9, 16, 19, 26, 47, 63, 71, 73, 90, 96, 98, 100, 104]

    @Test(arguments: goldenMinors, [false, true])
    func aServerLooksAsItsMicroversionSays(minor: Int, isAdmin: Bool) throws {
        let view = ServerView(Sample.context(.single, minor: minor, isAdmin: isAdmin))
        try Golden.expect(
            view.render(Sample.active(), host: Sample.host),
            in: "server-2.\(minor)\(isAdmin ? "-admin" : "")")
    }

    @Test(arguments: [1, 74, 75])
    func anUpdatedServerLooksAsItsMicroversionSays(minor: Int) throws {
        let view = ServerView(Sample.context(.updated, minor: minor))
        try Golden.expect(view.render(Sample.active(), host: Sample.host), in: "updated-2.\(minor)")
    }

    @Test func aListedServerHasNameAndLinksOnly() throws {
        let view = ServerView(Sample.context(.brief, minor: 104))
        try Golden.expect(view.render(Sample.active(), host: nil), in: "brief")
    }

    @Test func aServerInErrorShowsItsFaultWithoutDetailsToItsUser() throws {
        var instance = Sample.active()
        instance.state = ServerState(vm: .error, task: nil, power: .noState)
        instance.fault = InstanceFault(message: "No valid host", details: "north: disk", createdAt: Sample.date)
        try Golden.expect(
            ServerView(Sample.context(.single, minor: 1)).render(instance, host: nil), in: "fault-user")
        try Golden.expect(
            ServerView(Sample.context(.single, minor: 1, isAdmin: true)).render(instance, host: nil),
            in: "fault-admin")
    }

    @Test func aServerBeingScheduledHasNoHostAndNoAddresses() throws {
        var instance = Sample.active()
        instance.state = .scheduling
        instance.host = nil
        instance.interfaces = []
        instance.image = nil
        instance.launchedAt = nil
        let json = try JSONDecoder().decode(
            JSONValue.self,
            from: ServerView(Sample.context(.single, minor: 100, isAdmin: true)).render(instance, host: nil))
        #expect(json["hostId"]?.string == "")
        #expect(json["addresses"] == .object([:]))
        #expect(json["image"]?.string == "")
        #expect(json["host_status"]?.string == "")
        #expect(json["OS-SRV-USG:launched_at"] == .null)
        #expect(json["OS-EXT-SRV-ATTR:hypervisor_hostname"] == .null)
    }

    @Test(arguments: [
        (ServerView.Host(hypervisorHostname: "n1", isUp: true, isEnabled: true), "UP"),
        (ServerView.Host(hypervisorHostname: "n1", isUp: false, isEnabled: true), "UNKNOWN"),
        (ServerView.Host(hypervisorHostname: "n1", isUp: true, isEnabled: false), "MAINTENANCE"),
        (nil, "UNKNOWN"),
    ])
    func theHostsStatusIsShownToAdministrators(host: ServerView.Host?, status: String) throws {
        let view = ServerView(Sample.context(.full, minor: 16, isAdmin: true))
        let json = try JSONDecoder().decode(JSONValue.self, from: view.render(Sample.active(), host: host))
        #expect(json["host_status"]?.string == status)
    }

    @Test(arguments: [
        "", "plain", "quo\"te \\ back", "tab\tline\nreturn\r\u{8}\u{c}\u{1}\u{1f}", "grüße 🦊 \u{2028}", "a/b",
    ])
    func textIsEscapedSoThatEveryDecoderReadsItBack(text: String) throws {
        var instance = Sample.active()
        instance.name = text
        instance.metadata = [text: text]
        let view = ServerView(Sample.context(.full, minor: 104))
        let json = try JSONDecoder().decode(JSONValue.self, from: view.render(instance, host: nil))
        #expect(json["name"]?.string == text)
        #expect(json["metadata"]?[text]?.string == text)
    }

    @Test func aPartialRecordHasOnlyWhatTheDirectoryKnows() throws {
        let summary = InstanceSummary(Sample.active())
        for detail in [ServerViewContext.Detail.brief, .full, .single] {
            let view = ServerView(Sample.context(detail, minor: 69))
            try Golden.expect(view.renderPartial(summary, flavor: Sample.flavor), in: "partial-\(detail.rawValue)")
        }
    }

    @Test func linksKeepAProjectInThePath() {
        let links = ResourceLinks(computeURL: "http://cloud:8774/compute/v2.1/abc")
        #expect(links.bookmarkURL == "http://cloud:8774/compute/abc")
        #expect(links.selfURL("servers", "1") == "http://cloud:8774/compute/v2.1/abc/servers/1")
    }

    @Test(arguments: [
        ("", "d14a028c2a3a2bc9476102bb288234c415a2b01f828ea62ac5b3e42f"),
        ("abc", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "75388b16512776cc5dba5da1fd890150b0c6455cb4f58b1952522525"
        ),
    ])
    func theDigestIsTheStandards(text: String, expected: String) {
        let digits = Array("0123456789abcdef")
        let digest = SHA224.digest(Array(text.utf8)).map { "\(digits[Int($0 >> 4)])\(digits[Int($0 & 15)])" }.joined()
        #expect(digest == expected)
    }

    @Test(arguments: [
        (0.0, "1970-01-01T00:00:00.000000"), (951_782_400.5, "2000-02-29T00:00:00.500000"),
        (-1.0, "1969-12-31T23:59:59.000000"), (4_102_444_799.999999, "2099-12-31T23:59:59.999999"),
    ])
    func timesAreWrittenInUTC(seconds: Double, expected: String) {
        #expect(Timestamp.naiveMicroseconds(Date(timeIntervalSince1970: seconds)) == expected)
    }
}

import FoundationEssentials
import HTTPKit
import Primitives
import Testing

@Suite struct QueryParametersTests {
    @Test func keepsRepeatedKeysInOrderAndDecodes() throws {
        let query = try QueryParameters("sort_key=a&sort_key=b&name=a+b%2Cc&flag&id=in%3Ax")
        #expect(query.all("sort_key") == ["a", "b"])
        #expect(query["name"] == "a b,c")
        #expect(query["flag"] == "")
        #expect(query["id"] == "in:x")
        #expect(query["nothing"] == nil)
    }

    @Test(arguments: ["a=%", "a=%G0", "a=%ff", "%4=1"])
    func refusesBrokenCoding(text: String) {
        #expect(throws: APIFault.self) { try QueryParameters(text) }
    }

    @Test func readsNumbersAndTruthValues() throws {
        let query = try QueryParameters("n=5&yes=True&no=off&bad=maybe")
        #expect(try query.integer("n") == 5)
        #expect(try query.bool("yes") == true)
        #expect(try query.bool("no") == false)
        #expect(throws: APIFault.self) { try query.bool("bad") }
        #expect(throws: APIFault.self) { try query.integer("bad") }
        #expect(throws: APIFault.self) { try query.integer("n", in: 6...9) }
    }

    @Test func pagesKeepOtherParameters() throws {
        let query = try QueryParameters("name=a%20b&marker=old&limit=2")
        #expect(try PageRequest(query, maximum: 1000).limit == 2)
        #expect(try PageRequest(query, maximum: 1000).marker == "old")
        #expect(
            PageRequest.nextLink(base: "http://h/v2/images", query: query, lastID: "new")
                == "http://h/v2/images?name=a%20b&limit=2&marker=new")
        #expect(try PageRequest(QueryParameters("limit=0"), maximum: 7).limit == 7)
        #expect(throws: APIFault.self) { try PageRequest(QueryParameters("limit=-1"), maximum: 7) }
    }
}

@Suite struct TimestampTests {
    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000000Z"), (951_782_400, "2000-02-29T00:00:00.000000Z"),
        (1_795_342_830.25, "2026-11-22T10:20:30.250000Z"), (4_107_542_399.999999, "2100-02-28T23:59:59.999999Z"),
        (-1, "1969-12-31T23:59:59.000000Z"),
    ])
    func writesUTC(seconds: Double, expected: String) {
        let date = Date(timeIntervalSince1970: seconds)
        #expect(Timestamp.microseconds(date) == expected)
        #expect(Timestamp.seconds(date) == expected.prefix(19) + "Z")
    }

    @Test func agreesWithTheFormatterSinceTheGregorianCalendar() {
        for day in stride(from: -130_000, through: 200_000, by: 97) {
            let date = Date(timeIntervalSince1970: Double(day) * 86400 + 3661)
            #expect(Timestamp.seconds(date) == date.formatted(.iso8601))
        }
    }

    @Test(arguments: [
        "2026-11-22T10:20:30Z", "2026-11-22T10:20:30", "2026-11-22T10:20:30.000000Z", "2026-11-22 10:20:30",
        "2026-11-22T12:20:30+02:00",
    ])
    func readsWhatClientsSend(text: String) throws {
        #expect(Timestamp.parse(text) == Date(timeIntervalSince1970: 1_795_342_830))
    }

    @Test func readsDaysAndRefusesNonsense() {
        #expect(Timestamp.parse("2026-11-22") == Date(timeIntervalSince1970: 1_795_305_600))
        for text in ["", "yesterday", "2026-13-01T00:00:00Z", "12"] { #expect(Timestamp.parse(text) == nil) }
    }
}

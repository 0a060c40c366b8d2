import FoundationEssentials
import Primitives
import Testing

@Suite struct JSONParserTests {
    @Test func readsEveryKindOfValue() throws {
        let value = try JSONParser.parse(
            #" {"a": [1, -2.5, 1e3, true, false, null], "b": {"c": "d"}, "e": [], "f": {}} "#)
        #expect(
            value == [
                "a": [1, .number(-2.5), .number(1000), true, false, .null], "b": ["c": "d"], "e": [], "f": .object([:]),
            ])
    }

    @Test func readsEscapesAndSurrogatePairs() throws {
        #expect(try JSONParser.parse(#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00é""#) == "a\"\\/\u{8}\u{c}\n\r\té😀é")
    }

    @Test func keepsTheLastOfARepeatedKey() throws {
        #expect(try JSONParser.parse(#"{"a": 1, "a": 2}"#) == ["a": 2])
    }

    @Test func keepsSixtyFourBitIntegersExact() throws {
        #expect(try JSONParser.parse("9223372036854775807") == .integer(.max))
        #expect(try JSONParser.parse("9223372036854775808") == .number(9.223372036854775808e18))
        #expect(try JSONParser.parse("-0") == .integer(0))
    }

    @Test(arguments: [
        "", " ", "{", "[", "{\"a\"", "{\"a\":}", "{\"a\":1,}", "[1,]", "[1 2]", "tru", "nulll", "01", "-", "1.", "1e",
        "\"", "\"\\x\"", "\"\\u12\"", "\"\\ud800\"", "\"\\ud800\\u0041\"", "\"\u{1}\"", "1 2", "{1:2}", "'a'", "NaN",
        "1e999", "+1", ".5", "\u{FEFF}1",
    ])
    func refusesWhatIsNoJSON(text: String) {
        #expect(throws: JSONSyntaxError.self) { try JSONParser.parse(text) }
    }

    @Test func refusesBytesThatAreNotUTF8() {
        #expect(throws: JSONSyntaxError.self) { try JSONParser.parse([0x22, 0xFF, 0x22]) }
    }

    @Test func refusesTextsNestedTooDeeply() throws {
        let limit = JSONReader.depthLimit
        _ = try JSONParser.parse(String(repeating: "[", count: limit) + String(repeating: "]", count: limit))
        #expect(throws: JSONSyntaxError.self) {
            try JSONParser.parse(String(repeating: "[", count: 100_000))
        }
    }

    @Test func saysWhereTheErrorIs() {
        #expect(throws: JSONSyntaxError(reason: "unexpected character", offset: 6)) {
            try JSONParser.parse(#"{"a": x}"#)
        }
    }

    @Test(
        arguments: [
            .null, true, 12, .number(0.1), "plain", "q\"b\\s/n\nt\tr\rc\u{1}é😀", [1, [2, []]],
            ["b": 1, "a": ["x": .null]],
        ] as [JSONValue])
    func writesWhatItReads(value: JSONValue) throws {
        #expect(try JSONParser.parse(value.text) == value)
        #expect(try JSONDecoder().decode(JSONValue.self, from: Data(value.text.utf8)) == value)
    }

    @Test func writesKeysInOrderAndSlashesAsTheyAre() {
        let value: JSONValue = ["b": "http://a/b", "a": [1, .number(.infinity)]]
        #expect(value.text == #"{"a":[1,null],"b":"http://a/b"}"#)
    }
}

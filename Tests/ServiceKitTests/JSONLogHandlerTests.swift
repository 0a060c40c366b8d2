import FoundationEssentials
import Logging
import Primitives
import Testing

@testable import ServiceKit

@Suite struct JSONLogHandlerTests {
    private func line(_ message: Logger.Message, metadata: Logger.Metadata?) throws -> (text: String, JSONValue) {
        var handler = JSONLogHandler(label: "cellwright-api", fixed: ["service": "cellwright-api", "cell": "/"])
        handler[metadataKey: "cell"] = "/north"
        let event = LogEvent(
            level: .warning, message: message, error: nil, metadata: metadata, source: "", file: "", function: "",
            line: 1)
        let bytes = handler.line(event, at: Date(timeIntervalSince1970: 1_800_000_000.25))
        return (String(decoding: bytes, as: UTF8.self), try JSONParser.parse(bytes))
    }

    @Test func aLineIsOneObjectWithItsKeysInOrderAndTheNewestWordForEach() throws {
        let (text, _) = try line("request refused", metadata: ["server.id": "7", "error": "gone"])
        #expect(
            text == """
                {"time":"2027-01-15T08:00:00.250000Z","level":"warning","logger":"cellwright-api","message":"request refused",\
                "cell":"/north","error":"gone","server.id":"7","service":"cellwright-api"}

                """)
    }

    @Test func whateverItSaysItStaysOneLine() throws {
        let hostile = "a \"quoted\" \\ line\nand\tanother\r\u{0}\u{1b}[31m é 🙂"
        let (text, value) = try line("\(hostile)", metadata: ["k": "\(hostile)"])
        #expect(text.utf8.count(where: { $0 < 0x20 }) == 1 && text.hasSuffix("}\n"))
        #expect(value["message"]?.string == hostile && value["k"]?.string == hostile)
    }
}

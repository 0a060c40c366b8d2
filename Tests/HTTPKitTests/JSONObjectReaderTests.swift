import HTTPKit
import HTTPTypes
import Primitives
import Testing

@Suite struct JSONObjectReaderTests {
    private func reader(_ value: JSONValue) throws -> JSONObjectReader { try JSONObjectReader(value, path: "flavor") }

    private func message(_ body: () throws -> Void) -> String {
        do {
            try body()
            return "accepted"
        } catch let fault as APIFault {
            #expect(fault.status == .badRequest)
            return fault.message
        } catch {
            return "\(error)"
        }
    }

    @Test func takesWhatIsThere() throws {
        var body = try reader([
            "name": "m1", "ram": 512, "text": "7", "on": true, "none": .null, "tags": ["a", "b"], "meta": ["k": "v"],
            "nets": [["uuid": "u"]],
        ])
        #expect(try body.requiredString("name") == "m1")
        #expect(try body.requiredInteger("ram", in: 1...1024) == 512)
        #expect(try body.integer("text", acceptsText: true) == 7)
        #expect(try body.bool("on") == true)
        #expect(try body.string("none", nullable: true) == nil)
        #expect(try body.string("absent") == nil)
        #expect(try body.strings("tags") == ["a", "b"])
        #expect(try body.textMap("meta") == ["k": "v"])
        var network = try #require(try body.objects("nets")?.first)
        #expect(network.path == "flavor.nets[0]")
        #expect(try network.requiredString("uuid") == "u")
        try network.finish()
        try body.finish()
    }

    @Test func namesUnknownMembers() {
        #expect(
            message { try reader(["x": 1, "y": 2]).finish() }
                == "Invalid input for field/attribute flavor. Additional properties are not allowed "
                + "('x', 'y' were unexpected)")
    }

    @Test func namesMissingMembers() {
        #expect(
            message {
                var body = try reader([:])
                _ = try body.requiredString("name")
            } == "Invalid input for field/attribute flavor. 'name' is a required property")
    }

    @Test func namesWrongTypes() {
        let expected = "Invalid input for field/attribute name. Value: 5. 5 is not of type 'string'"
        #expect(
            message {
                var body = try reader(["name": 5])
                _ = try body.requiredString("name")
            } == expected)
        #expect(message { _ = try reader([1]) }.hasSuffix("[1] is not of type 'object'"))
    }

    @Test func refusesNullWhereItIsNotAllowed() {
        #expect(
            message {
                var body = try reader(["name": .null])
                _ = try body.string("name")
            }.hasSuffix("null is not of type 'string'"))
    }

    @Test(arguments: [
        ("", "is too short"), (String(repeating: "x", count: 256), "is too long"),
    ])
    func boundsTheLengthOfText(text: String, reason: String) {
        let text = message {
            var body = try reader(["name": .string(text)])
            _ = try body.requiredString("name", length: 1...255)
        }
        #expect(text.hasSuffix(reason))
        #expect(text.count < 400, "a message does not repeat a whole oversized value")
    }

    @Test func boundsNumbers() {
        #expect(
            message {
                var body = try reader(["ram": 0])
                _ = try body.requiredInteger("ram", in: 1...10)
            }.hasSuffix("0 is less than the minimum of 1"))
        #expect(
            message {
                var body = try reader(["ram": "12"])
                _ = try body.requiredInteger("ram")
            }.hasSuffix("12 is not of type 'integer'"))
    }

    /// One visible character may be thousands of code points.
    @Test func countsCodePoints() throws {
        let text = "a" + String(repeating: "\u{301}", count: 300)
        var reader = try JSONObjectReader(["name": .string(text), "map": ["k": .string(text)]], path: "body")
        #expect(throws: APIFault.self) { try reader.string("name", length: 1...255) }
        #expect(throws: APIFault.self) { try reader.textMap("map") }
    }

    @Test func repeatsLittleOfWhatItRefuses() throws {
        let long = String(repeating: "n", count: 100_000)
        var members: [String: JSONValue] = [long: 1]
        for index in 0..<100 { members["\(index)\(long)"] = 1 }
        let reader = try JSONObjectReader(.object(members), path: "body")
        #expect(throws: APIFault.self) {
            do throws(APIFault) {
                try reader.finish()
            } catch {
                #expect(error.message.utf8.count < 2000)
                throw error
            }
        }
        var map = try JSONObjectReader(["metadata": .object([long: 1])], path: "body")
        #expect(throws: APIFault.self) {
            do throws(APIFault) {
                _ = try map.textMap("metadata")
            } catch {
                #expect(error.message.utf8.count < 2000)
                throw error
            }
        }
    }
}

import HTTPKit
import HTTPTypes

/// Which 2.N a request asks for, and what its response says of it.
enum Microversion {
    static let minimum = 1
    /// The newest that this service speaks.
    static let maximum = 104
    static let all = minimum...maximum

    private static let legacyHeader = HTTPField.Name(fixed: "X-OpenStack-Nova-API-Version")

    /// The minor that the headers ask for: the newer header counts before the old one, entries for other services are not
    /// ours, none means 2.1.
    /// - Throws: a 400 for what is no version, a 406 for one outside the range.
    static func negotiate(_ headers: HTTPFields) throws(APIFault) -> Int {
        guard let text = asked(headers) else { return minimum }
        if text == "latest" { return maximum }
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 2, let major = number(parts[0]), let minor = number(parts[1]) else {
            throw .badRequest(
                "API Version String \(text.prefix(50)) is of invalid format. Must be of format MajorNum.MinorNum.")
        }
        guard major == 2, all.contains(minor) else {
            throw APIFault(
                .notAcceptable,
                "Version \(major).\(minor) is not supported by the API. Minimum is 2.\(minimum) and maximum is "
                    + "2.\(maximum).")
        }
        return minor
    }

    /// What every response carries, for the version used.
    static func headers(_ minor: Int) -> [(HTTPField.Name, String)] {
        [
            (.openStackAPIVersion, "compute 2.\(minor)"), (legacyHeader, "2.\(minor)"),
            (.vary, "OpenStack-API-Version, X-OpenStack-Nova-API-Version"),
        ]
    }

    private static func asked(_ headers: HTTPFields) -> String? {
        for value in headers[values: .openStackAPIVersion] {
            for entry in value.split(separator: ",") {
                let words = entry.split(separator: " ")
                if words.count == 2, words[0].lowercased() == "compute" { return String(words[1]) }
            }
        }
        return headers[legacyHeader].map { value in String(value.drop { $0 == " " }) }
    }

    /// Digits without a leading zero, as Nova takes them.
    private static func number(_ text: Substring) -> Int? {
        guard !text.isEmpty, text.utf8.count <= 9, text == "0" || text.first != "0",
            text.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { return nil }
        return Int(text)
    }
}

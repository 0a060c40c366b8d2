package import Primitives

/// The `links` of compute's resources: `self` with the API's version in it, `bookmark` without.
package struct ResourceLinks: Sendable {
    /// Without a slash at the end: `http://host:8774/compute/v2.1`.
    package let computeURL: String
    package let bookmarkURL: String

    package init(computeURL: String) {
        self.computeURL = computeURL
        let version = "/v2.1"
        // As it is unless the request's path names a project. One is made for each request to a cell.
        if computeURL.hasSuffix(version) {
            let end = computeURL.utf8.index(computeURL.endIndex, offsetBy: -version.utf8.count)
            bookmarkURL = String(computeURL[..<end])
            return
        }
        let parts = computeURL.split(separator: "/", omittingEmptySubsequences: false)
        if let version = parts.lastIndex(of: "v2.1") {
            bookmarkURL = (parts[..<version] + parts[(version + 1)...]).joined(separator: "/")
        } else {
            bookmarkURL = computeURL
        }
    }

    package func selfURL(_ collection: String, _ id: String) -> String { "\(computeURL)/\(collection)/\(id)" }

    package func write(_ collection: String, _ id: String, to writer: inout JSONWriter) {
        writer.array("links") { writer in
            writeLink("self", computeURL, collection, id, to: &writer)
            writeLink("bookmark", bookmarkURL, collection, id, to: &writer)
        }
    }

    package func writeBookmark(_ collection: String, _ id: String, to writer: inout JSONWriter) {
        writer.array("links") { writer in
            writeLink("bookmark", bookmarkURL, collection, id, to: &writer)
        }
    }

    private func writeLink(
        _ relation: String, _ base: String, _ collection: String, _ id: String, to writer: inout JSONWriter
    ) {
        writer.object { writer in
            writer.field("rel", relation)
            writer.field("href", "\(base)/\(collection)/\(id)")
        }
    }
}

import CloudModel
package import FoundationEssentials
package import Primitives

// A page of a list asks as many cells as its servers are in, each with one of these.

extension GetRequest: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var ids: [ServerID]?
        var view: ServerViewContext?
        var shares: [Share]?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "ids": ids = try reader.values()
            case "view": view = try ServerViewContext(&reader)
            case "shares":
                shares = try reader.optional { reader throws(JSONSyntaxError) in try reader.values() }
            default: try reader.skip()
            }
        }
        guard let ids, let view else { throw reader.error("a request without all its members") }
        self.init(ids: ids, view: view)
        self.shares = shares
    }

    package init(body: Data) throws { self = try Self(json: Array(body)) }
}

extension GetRequest: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.array("ids") { writer in
            for id in ids { writer.element(id.description) }
        }
        writer.field("view", view)
        guard let shares else { return }
        writer.array("shares") { writer in
            for share in shares {
                writer.object { writer in
                    writer.field("leaf", share.leaf.description)
                    writer.field("count", share.count)
                }
            }
        }
    }

    package func body() -> Data { Data(json) }
}

extension GetRequest.Share: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var leaf: CellPath?
        var count: Int?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "leaf": leaf = try reader.named { CellPath($0) }
            case "count": count = try reader.integer()
            default: try reader.skip()
            }
        }
        guard let leaf, let count else { throw reader.error("a share without all its members") }
        self.init(leaf: leaf, count: count)
    }
}

extension ServerViewContext: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var detail: Detail?
        var microversion: Int?
        var computeURL: String?
        var isAdmin: Bool?
        var group: ServerGroupID?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "detail": detail = try reader.named { Detail(rawValue: $0) }
            case "microversion": microversion = try reader.integer()
            case "computeURL": computeURL = try reader.string()
            case "isAdmin": isAdmin = try reader.bool()
            case "serverGroup":
                group = try reader.optional { reader throws(JSONSyntaxError) in try ServerGroupID(&reader) }
            default: try reader.skip()
            }
        }
        guard let detail, let microversion, let computeURL, let isAdmin else {
            throw reader.error("a view without all its members")
        }
        self.init(
            detail: detail, microversion: microversion, computeURL: computeURL, isAdmin: isAdmin, serverGroup: group)
    }
}

extension ServerViewContext: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("detail", detail.rawValue)
        writer.field("microversion", microversion)
        writer.field("computeURL", computeURL)
        writer.field("isAdmin", isAdmin)
        writer.field("serverGroup", ifAny: serverGroup?.description)
    }
}

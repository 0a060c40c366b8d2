import CloudModel
import FoundationEssentials
package import Primitives

// A parent reads one from each child every moment and writes down what changed; those without the watch then read all
// mappings again.

extension CellHeartbeat: JSONReadable {
    private static let required = 9

    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        self.init(
            cell: .root, version: "", sentAt: .distantPast, newestSequence: 0, databaseMilliseconds: 0,
            isDatabaseUp: false, conductorsUp: 0, hostsUp: 0, hosts: 0)
        var found = 0
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            found += 1
            switch key {
            case "cell": cell = try reader.named { CellPath($0) }
            case "version": version = try reader.string()
            case "sentAt": sentAt = try reader.date()
            case "newestSequence": newestSequence = try reader.integer()
            case "databaseMilliseconds": databaseMilliseconds = try reader.double()
            case "isDatabaseUp": isDatabaseUp = try reader.bool()
            case "conductorsUp": conductorsUp = try reader.integer()
            case "hostsUp": hostsUp = try reader.integer()
            case "hosts": hosts = try reader.integer()
            default:
                found -= 1
                try readOptional(key, &reader)
            }
        }
        guard found == Self.required else { throw reader.error("a heartbeat without all its members") }
    }

    private mutating func readOptional(_ key: JSONKey, _ reader: inout JSONReader) throws(JSONSyntaxError) {
        switch key {
        case "cells":
            cells = try reader.optional { reader throws(JSONSyntaxError) in try reader.integer() }
        case "cellsDown":
            cellsDown = try reader.optional { reader throws(JSONSyntaxError) in try reader.integer() }
        case "supervisor": supervisor = try reader.optionalString()
        default: try reader.skip()
        }
    }
}

extension CellHeartbeat: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("cell", cell.description)
        writer.field("version", version)
        writer.field("sentAt", sentAt)
        writer.field("newestSequence", Int(newestSequence))
        writer.field("databaseMilliseconds", databaseMilliseconds)
        writer.field("isDatabaseUp", isDatabaseUp)
        writer.field("conductorsUp", conductorsUp)
        writer.field("hostsUp", hostsUp)
        writer.field("hosts", hosts)
        writer.field("cells", ifAny: cells)
        writer.field("cellsDown", ifAny: cellsDown)
        writer.field("supervisor", ifAny: supervisor)
    }
}

extension CellStanding: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var path: CellPath?
        var health: CellStatus.Health?
        var since: Date?
        var reason: String?
        var heartbeat: CellHeartbeat?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "path": path = try reader.named { CellPath($0) }
            case "health": health = try reader.named { CellStatus.Health(rawValue: $0) }
            case "reason": reason = try reader.optionalString()
            case "since": since = try reader.date()
            case "heartbeat":
                heartbeat = try reader.optional { reader throws(JSONSyntaxError) in try CellHeartbeat(&reader) }
            default: try reader.skip()
            }
        }
        guard let path, let health, let since else { throw reader.error("a cell's standing without all its members") }
        self.init(path: path, health: health, reason: reason, since: since, heartbeat: heartbeat)
    }
}

extension CellStanding: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("path", path.description)
        writer.field("health", health.rawValue)
        writer.field("reason", ifAny: reason)
        writer.field("since", since)
        if let heartbeat { writer.field("heartbeat", heartbeat) }
    }
}

extension CellMapping.Endpoint: JSONReadable {
    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        var host: String?
        var port: Int?
        var vhost: String?
        var user: String?
        var password: String?
        var next: String?
        var tls: Bool?
        var authority: String?
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            switch key {
            case "host": host = try reader.string()
            case "port": port = try reader.integer()
            case "vhost": vhost = try reader.string()
            case "user": user = try reader.string()
            case "password": password = try reader.string()
            case "nextPassword": next = try reader.optionalString()
            case "tls": tls = try reader.optional { reader throws(JSONSyntaxError) in try reader.bool() }
            case "authority": authority = try reader.optionalString()
            default: try reader.skip()
            }
        }
        guard let host, let port, let vhost, let user, let password else {
            throw reader.error("a cell's broker without all its members")
        }
        self.init(
            host: host, port: port, vhost: vhost, user: user, password: Secret(password),
            nextPassword: next.map { Secret($0) }, tls: tls, authority: authority)
    }
}

import FoundationEssentials
package import Primitives

// A parent reads and writes one for every change of a server below it.

extension InstanceSummary: JSONReadable {
    private static let required = 15

    package init(_ reader: inout JSONReader) throws(JSONSyntaxError) {
        self.init(
            id: .unread, version: 0, projectID: "", userID: "", name: "", hostname: "", description: nil,
            state: .scheduling, status: "", host: nil, flavorID: "", imageID: nil, availabilityZone: nil, keyName: nil,
            addresses: [], tags: [], isLocked: false, reservationID: "", createdAt: .distantPast,
            updatedAt: .distantPast, launchedAt: nil, terminatedAt: nil)
        var found = 0
        try reader.object { (key, reader) throws(JSONSyntaxError) in
            if try readRequired(key, &reader) {
                found += 1
            } else if try !readOptional(key, &reader) {
                try reader.skip()
            }
        }
        guard found == Self.required else { throw reader.error("a server without all its members") }
    }

    private mutating func readRequired(_ key: JSONKey, _ reader: inout JSONReader) throws(JSONSyntaxError) -> Bool {
        switch key {
        case "id": id = try ServerID(&reader)
        case "version": version = try reader.integer()
        case "projectID": projectID = ProjectID(try reader.string())
        case "userID": userID = UserID(try reader.string())
        case "name": name = try reader.string()
        case "hostname": hostname = try reader.string()
        case "state": state = try ServerState(&reader)
        case "status": status = try reader.string()
        case "flavorID": flavorID = try reader.string()
        case "addresses": addresses = try reader.strings()
        case "tags": tags = try reader.strings()
        case "isLocked": isLocked = try reader.bool()
        case "reservationID": reservationID = try reader.string()
        case "createdAt": createdAt = try reader.date()
        case "updatedAt": updatedAt = try reader.date()
        default: return false
        }
        return true
    }

    private mutating func readOptional(_ key: JSONKey, _ reader: inout JSONReader) throws(JSONSyntaxError) -> Bool {
        switch key {
        case "description": description = try reader.optionalString()
        case "host": host = try reader.optionalString().map { HostName($0) }
        case "imageID":
            imageID = try reader.optional { reader throws(JSONSyntaxError) in try ImageID(&reader) }
        case "availabilityZone": availabilityZone = try reader.optionalString()
        case "keyName": keyName = try reader.optionalString()
        case "launchedAt": launchedAt = try reader.optional { reader throws(JSONSyntaxError) in try reader.date() }
        case "terminatedAt": terminatedAt = try reader.optional { reader throws(JSONSyntaxError) in try reader.date() }
        case "vcpus": vcpus = try reader.optional { reader throws(JSONSyntaxError) in try reader.integer() }
        case "memoryMiB": memoryMiB = try reader.optional { reader throws(JSONSyntaxError) in try reader.integer() }
        default: return false
        }
        return true
    }
}

extension InstanceSummary: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("id", id.description)
        writer.field("version", Int(version))
        writer.field("projectID", projectID.text)
        writer.field("userID", userID.text)
        writer.field("name", name)
        writer.field("hostname", hostname)
        writer.field("description", ifAny: description)
        writer.field("state", state)
        writer.field("status", status)
        writer.field("host", ifAny: host?.text)
        writer.field("flavorID", flavorID)
        writer.field("imageID", ifAny: imageID?.description)
        writer.field("availabilityZone", ifAny: availabilityZone)
        writer.field("keyName", ifAny: keyName)
        writer.field("addresses", addresses)
        writer.field("tags", tags)
        writer.field("isLocked", isLocked)
        writer.field("reservationID", reservationID)
        writer.field("createdAt", createdAt)
        writer.field("updatedAt", updatedAt)
        writer.field("launchedAt", ifAny: launchedAt)
        writer.field("terminatedAt", ifAny: terminatedAt)
        writer.field("vcpus", ifAny: vcpus)
        writer.field("memoryMiB", ifAny: memoryMiB)
    }
}

extension ServerState: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("vm", vm.rawValue)
        writer.field("task", ifAny: task?.rawValue)
        writer.field("power", power.rawValue)
    }
}

package import Primitives

/// The text of a configuration file. A large cloud's plan writes thousands of them, which is what an encoder is slow at.
extension ProcessConfiguration {
    /// The file's text: sorted keys, so that equal configurations have equal digests. As `JSONEncoder` writes it.
    package var json: String {
        var writer = JSONWriter(isIndented: true)
        writer.object { writer in
            switch self {
            case .api(let value): value.write(to: &writer)
            case .supervisor(let value): value.write(to: &writer)
            case .conductor(let value): value.write(to: &writer)
            case .compute(let value): value.write(to: &writer)
            }
        }
        return String(decoding: writer.bytes, as: UTF8.self) + "\n"
    }
}

// Members in the order of their names.

extension ProcessConfiguration.API: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("bus", bus)
        writer.field("database", database)
        writer.field("imageDirectory", imageDirectory)
        writer.field("listen", listen)
        writer.object("passwordHash") { $0.field("cost", passwordHash.cost) }
        writer.field("publicURL", ifAny: publicURL)
        writer.field("region", region)
        writer.field("tls", ifAny: tls)
        writer.field("tokenKeyFile", tokenKeyFile)
    }
}

extension ProcessConfiguration.Supervisor: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("bus", bus)
        writer.field("cell", cell)
        writer.field("database", database)
        writer.field("identity", identity)
        writer.field("ops", ops)
        writer.field("tls", ifAny: tls)
    }
}

extension ProcessConfiguration.Conductor: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("bus", bus)
        writer.field("cell", cell)
        writer.field("database", database)
        writer.field("identity", identity)
        writer.field("ops", ops)
    }
}

extension ProcessConfiguration.Compute: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("availabilityZone", availabilityZone)
        writer.field("bus", bus)
        writer.field("capacity", ifAny: capacity)
        writer.field("cell", cell)
        writer.field("host", host)
        writer.object("hypervisor") { writer in
            writer.field("driver", hypervisor.driver)
            writer.field("uri", ifAny: hypervisor.uri)
            writer.field("virtType", hypervisor.virtType)
        }
        writer.field("imageAuthority", ifAny: imageAuthority)
        writer.field("imageURL", imageURL)
        writer.field("ops", ops)
        writer.field("stateDirectory", stateDirectory)
    }
}

extension ProcessConfiguration.Endpoint: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("authority", ifAny: authority)
        writer.field("host", host)
        writer.field("port", port)
    }
}

extension ProcessConfiguration.TLS: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("authority", authority)
        writer.field("certificate", ifAny: certificate)
    }
}

extension ProcessConfiguration.Database: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("host", host)
        writer.field("name", name)
        writer.field("passwordFile", passwordFile)
        writer.field("port", port)
        writer.field("tls", ifAny: tls)
        writer.field("user", user)
    }
}

extension ProcessConfiguration.Bus: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("host", host)
        writer.field("passwordFile", passwordFile)
        writer.field("port", port)
        writer.field("tls", ifAny: tls)
        writer.field("user", user)
        writer.field("vhost", vhost)
    }
}

extension ProcessConfiguration.Cell: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("kind", ifAny: kind)
        writer.field("name", name)
        writer.field("path", path)
    }
}

extension Topology.Capacity: JSONWritable {
    package func write(to writer: inout JSONWriter) {
        writer.field("diskGiB", ifAny: diskGiB)
        writer.field("memoryMiB", ifAny: memoryMiB)
        writer.field("vcpus", ifAny: vcpus)
    }
}

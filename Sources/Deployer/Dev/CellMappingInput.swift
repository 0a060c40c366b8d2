import Primitives

/// What `cellwright-supervisor cell put` reads from standard input.
struct CellMappingInput: Encodable, Sendable {
    struct Bus: Encodable, Sendable {
        var host: String
        var port: Int
        var vhost: String
        var user: String
        var password: Secret

        init(host: String, port: Int, vhost: String, user: String, password: Secret) {
            self.host = host
            self.port = port
            self.vhost = vhost
            self.user = user
            self.password = password
        }
    }

    var path: String
    var name: String
    var bus: Bus

    init(path: String, name: String, bus: Bus) {
        self.path = path
        self.name = name
        self.bus = bus
    }
}

import HypervisorDriver

/// What we read from a domain's description.
struct DomainFacts: Sendable, Equatable {
    /// The file to which the serial console is logged.
    let consoleLogPath: String?
    /// Where the screen is served; only of a domain that runs.
    let vncAddress: ConsoleAddress?

    init(consoleLogPath: String?, vncAddress: ConsoleAddress?) {
        self.consoleLogPath = consoleLogPath
        self.vncAddress = vncAddress
    }

    init(_ document: String) throws(XMLParser.Failure) {
        let domain = try XMLParser.parse(document)
        consoleLogPath = domain.all("devices", "serial", "log").first?[attribute: "file"]
        let graphics = domain.all("devices", "graphics").first { $0[attribute: "type"] == "vnc" }
        let port = graphics?[attribute: "port"].flatMap { Int($0) } ?? -1
        vncAddress =
            port > 0 ? ConsoleAddress(host: graphics?[attribute: "listen"] ?? "127.0.0.1", port: port) : nil
    }
}

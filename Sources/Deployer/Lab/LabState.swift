import FoundationEssentials

/// What a lab remembers between runs of the tool. What runs is always asked of the kernel, never read from here.
package struct LabState: Codable, Sendable, Equatable {
    package struct Host: Codable, Sendable, Equatable {
        package var address: String
        /// Base tree under its disk; a host keeps it for life.
        package var base: String

        package init(address: String, base: String) {
            self.address = address
            self.base = base
        }
    }

    package var version = 1
    package var network: String
    package var bridge: String
    package var hosts: [String: Host]
    /// What ``Lab/down(reporter:now:)`` gives back.
    var watchLimit: WatchLimit?

    package init(network: String, bridge: String, hosts: [String: Host] = [:]) {
        self.network = network
        self.bridge = bridge
        self.hosts = hosts
    }

    /// The state kept in `path`; `nil` when there is none.
    package static func read(_ path: String) throws -> LabState? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        return try JSONDecoder().decode(LabState.self, from: data)
    }

    package func write(_ path: String) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try PrivateFile.write(try encoder.encode(self), to: path)
    }
}

/// How one host of a lab is.
package struct LabHostStatus: Codable, Sendable, Equatable {
    package enum State: String, Codable, Sendable {
        /// Runs and answers ssh.
        case running
        /// Runs and does not answer ssh (yet).
        case starting
        /// Does not run; its disk is kept.
        case stopped
        /// Was never made.
        case absent
    }

    package var name: String
    package var address: String
    package var state: State
    /// Process of the container's supervisor (systemd-nspawn) on this machine.
    package var process: Int32?
    /// Process on this machine that is the host's process 1.
    package var leader: Int32?

    package init(name: String, address: String, state: State, process: Int32?, leader: Int32?) {
        self.name = name
        self.address = address
        self.state = state
        self.process = process
        self.leader = leader
    }
}

package struct LabFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    package init(_ description: String) { self.description = description }
}

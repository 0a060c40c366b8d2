import ArgumentParser
import Deployer
import FoundationEssentials
import Primitives
import Synchronization
import UnixSignals

struct DevCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "dev",
        abstract: "Run a whole cloud as child processes, with simulated hypervisors; needs no root.",
        discussion: """
            PostgreSQL and RabbitMQ are private and on 127.0.0.1, all data go when it ends. It runs until Ctrl-C. With \
            --output json it prints one line when everything answers: addresses, files with credentials, processes.
            """)

    @Argument(help: ArgumentHelp("The topology file.", valueName: "topology"))
    var file: String?

    @OptionGroup var common: CommonOptions

    @Option(help: "Compute hosts of each leaf cell, in place of the topology's.")
    var hostsPerCell: Int?

    @Option(
        help: "How many of the API, and of every cell's supervisor and conductor; each answers on a port of its own.")
    var replicas = 1

    @Flag(help: "Give every leaf cell a PostgreSQL server of its own, for trying what happens without one.")
    var databasePerCell = false

    @Flag(help: "Give every leaf cell a RabbitMQ server of its own, likewise.")
    var brokerPerCell = false

    @Option(help: "Port of the API on 127.0.0.1; any free one unless given.")
    var port: Int?

    @Option(help: ArgumentHelp("First port tried for everything else.", visibility: .hidden))
    var firstPort = DevOptions.defaultFirstPort

    @Option(help: ArgumentHelp("Its folder; .cellwright/dev beside the topology file unless given.", valueName: "path"))
    var folder: String?

    @Flag(help: ArgumentHelp("End when standard input does, for tests.", visibility: .hidden))
    var whileStdinOpen = false

    func validate() throws {
        if let hostsPerCell, !(0...1000).contains(hostsPerCell) {
            throw ValidationError("--hosts-per-cell must be from 0 to 1000")
        }
        guard (1...4).contains(replicas) else { throw ValidationError("--replicas must be from 1 to 4") }
        if let port, !(1...65535).contains(port) { throw ValidationError("--port must be from 1 to 65535") }
        if file != nil, common.topology != "topology.yaml" {
            throw ValidationError("name the topology file once, as an argument or with --topology")
        }
    }

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let loaded = try LoadedTopology(path: file ?? common.topology)
            var options = DevOptions(
                topology: loaded.topology,
                folder: folder.map { URL(filePath: $0).standardizedFileURL.path } ?? "\(loaded.folder)/.cellwright/dev",
                binaries: try Executable.folder(), topologyFolder: loaded.folder, hostsPerCell: hostsPerCell,
                port: port, firstPort: firstPort, environment: ProcessInfo.processInfo.environment)
            options.hasDatabasePerCell = databasePerCell
            options.hasBrokerPerCell = brokerPerCell
            options.replicas = replicas
            try await DevSession(options: options, isJSON: common.isJSON, followsInput: whileStdinOpen).run()
        }
    }
}

/// One run of the development cloud: until a signal comes, which ends it in order; a second one ends it at once.
private struct DevSession: Sendable {
    let options: DevOptions
    let isJSON: Bool
    let followsInput: Bool

    private enum Part: Sendable { case cloud, other }

    private struct Interrupted: Error, CustomStringConvertible {
        let description = "interrupted before the cloud was ready"
    }

    /// Whether the cloud is ready and nobody has asked it to end.
    private final class Phase: Sendable {
        private let isServing = Atomic<Bool>(false)

        func begin() { isServing.store(true, ordering: .releasing) }

        /// Whether this call ended it.
        func end() -> Bool { isServing.exchange(false, ordering: .acquiringAndReleasing) }
    }

    func run() async throws {
        let (stops, stop) = AsyncStream.makeStream(of: Void.self)
        let phase = Phase()
        let signals = await UnixSignalsSequence(trapping: .sigint, .sigterm, .sighup)
        let reporter = LineReporter(style: .text) { line in
            if isJSON { Console.error(line) } else { Console.out(line) }
        }
        try await withThrowingTaskGroup(of: Part.self) { group in
            group.addTask {
                try await DevCloud.run(options, reporter: reporter, now: SystemWallClock().now()) { ready in
                    phase.begin()
                    try announce(ready)
                    for await _ in stops { break }
                    reporter.report(ProgressEvent(.note, "ending"))
                }
                return .cloud
            }
            group.addTask {
                for await _ in signals {
                    guard phase.end() else { throw Interrupted() }
                    stop.yield()
                }
                return .other
            }
            if followsInput {
                group.addTask {
                    try await StandardInput.end()
                    guard phase.end() else { throw Interrupted() }
                    stop.yield()
                    return .other
                }
            }
            defer { group.cancelAll() }
            while let ended = try await group.next() {
                if ended == .cloud { return }
            }
        }
    }

    private func announce(_ ready: DevReady) throws {
        if isJSON { return try Console.out(json: ready) }
        Console.out(
            """

            The cloud runs: \(ready.cells.count) cells with the root, \(ready.cells.flatMap(\.hosts).count) simulated \
            hosts, ready after \(ready.seconds) s.

              export OS_CLIENT_CONFIG_FILE=\(ready.cloudsFile)
              openstack --os-cloud cellwright flavor list
              openstack --os-cloud cellwright-admin hypervisor list

            API \(ready.url), logs in \(ready.folder)/log. Ctrl-C ends it and removes everything.
            """)
    }
}

/// This program.
enum Executable {
    /// Where it is; the other executables are beside it.
    static func folder() throws -> String {
        let path = try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")
        return URL(filePath: path).deletingLastPathComponent().path
    }
}

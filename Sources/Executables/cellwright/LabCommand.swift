import ArgumentParser
import Deployer
import Primitives
import Topology

struct LabCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "lab", abstract: "The topology's hosts as containers on this machine; needs root.",
        subcommands: [Up.self, Down.self, Status.self])

    struct Up: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Make and start the hosts that do not run, and wait until each answers.")

        @OptionGroup var common: CommonOptions

        func run() async throws {
            try await reportingErrors(json: common.isJSON) {
                let session = try DeploymentSession(common) { Console.out($0) }
                let started = try await session.lab().up(reporter: session.reporter, now: SystemWallClock().now())
                if common.isJSON {
                    try Console.out(json: ["started": started])
                } else {
                    let hosts = session.settings.topology.hosts.count
                    Console.out("The lab is up: \(hosts) hosts, \(started.count) of them started now.")
                }
            }
        }
    }

    struct Down: AsyncParsableCommand {
        static let configuration = CommandConfiguration(
            abstract: "Power the hosts off and remove them with their disks; the cached base system stays.")

        @OptionGroup var common: CommonOptions

        func run() async throws {
            try await reportingErrors(json: common.isJSON) {
                let session = try DeploymentSession(common) { Console.out($0) }
                try await session.lab().down(reporter: session.reporter, now: SystemWallClock().now())
                if common.isJSON { try Console.out(json: ["down": true]) } else { Console.out("The lab is down.") }
            }
        }
    }

    struct Status: AsyncParsableCommand {
        static let configuration = CommandConfiguration(abstract: "Show how each host of the lab is.")

        @OptionGroup var common: CommonOptions

        func run() async throws {
            try await reportingErrors(json: common.isJSON) {
                let session = try DeploymentSession(common) { Console.error($0) }
                let hosts = try await session.lab().status()
                if common.isJSON { return try Console.out(json: hosts) }
                let width = hosts.map(\.name.count).max() ?? 0
                for host in hosts {
                    let name = host.name + String(repeating: " ", count: width - host.name.count)
                    Console.out("\(name)  \(host.state.rawValue)  \(host.address)")
                }
            }
        }
    }
}

import ArgumentParser
import Deployer
import Primitives
import Topology

struct ApplyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply", abstract: "Make the cloud as the topology says.",
        discussion: """
            It may be run again at any time: what is done stays done. Ctrl-C stops it at the next safe point. With \
            --output json every step is one line of JSON on standard output, the last one the result. A cell that is \
            new and fails is undone; others are left alone.
            """)

    @Argument(
        help: ArgumentHelp("A plan that `plan --out` saved: exactly that is done, or nothing.", valueName: "plan"))
    var file: String?

    @OptionGroup var common: CommonOptions
    @OptionGroup var losses: DataLossOptions

    @Flag(help: "Leave what was made of a new cell that failed, to be looked at.")
    var keepFailed = false

    @Option(help: ArgumentHelp("Steps at the same time, over all hosts.", valueName: "n"))
    var parallel = ActionGraph.Limits().total

    func validate() throws {
        guard (1...256).contains(parallel) else { throw ValidationError("--parallel must be from 1 to 256") }
    }

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let session = try DeploymentSession(common, isLive: true) { Console.out($0) }
            if try await session.isLabUnmade() {
                throw UserError("the lab's hosts are not up; run `cellwright lab up` first")
            }
            let deployment = session.deployment
            let options = ApplyOptions(
                keepsFailed: keepFailed, limits: .init(total: parallel),
                plan: try file.map { try PlanFile.read(from: $0) }, allowedLosses: losses.cells)
            let report = try await stoppable(reporter: session.reporter) {
                try await deployment.apply(options, stop: $0)
            }
            let url = session.settings.topology.publicURL
            if common.isJSON {
                try Console.out(
                    json: ApplyResult(
                        changes: report.succeeded, url: url, cloudsFile: session.settings.cloudsPath))
            } else if report.succeeded == 0 {
                Console.out("No change: cloud \(session.settings.topology.name) is as the topology says.")
            } else {
                Console.out("\(report.succeeded) changes made. The API is \(url); for clients:")
                Console.out("  export OS_CLIENT_CONFIG_FILE=\(session.settings.cloudsPath)")
            }
        }
    }
}

/// The last line of `apply --output json`.
private struct ApplyResult: Encodable {
    var changes: Int
    var url: String
    var cloudsFile: String
}

struct DestroyCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "destroy", abstract: "Stop and remove everything of the cloud from its hosts, data included.")

    @OptionGroup var common: CommonOptions

    @Flag(help: "Yes, remove every server, image and record of the cloud.")
    var yes = false

    func validate() throws {
        guard yes else {
            throw ValidationError("destroy removes every server, image and record of the cloud; say so with --yes")
        }
    }

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let session = try DeploymentSession(common, isLive: true) { Console.out($0) }
            let deployment = session.deployment
            let report = try await stoppable(reporter: session.reporter) { try await deployment.destroy(stop: $0) }
            if common.isJSON {
                try Console.out(json: ["removed": report.succeeded])
            } else {
                Console.out("Cloud \(session.settings.topology.name) is gone (\(report.succeeded) things removed).")
            }
        }
    }
}

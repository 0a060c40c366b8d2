import ArgumentParser
import CloudModel
import Deployer
import Topology

struct RotateCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "rotate", abstract: "Replace secrets or certificates while the cloud runs.",
        discussion: """
            Without a name, of the whole cloud. Nothing is restarted and no request fails: processes read their secrets \
            for every new connection, and while one is replaced they have the old one and the new one. At the end the \
            servers refuse the old secrets. It may be run again after a failure.
            """)

    @OptionGroup var common: CommonOptions

    @Argument(help: "A cell (/north) with its hosts, or one host.")
    var target: String?

    @Flag(help: "Certificates and their keys instead of passwords.")
    var certificates = false

    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let session = try DeploymentSession(common) { Console.out($0) }
            let scope = try scope(in: session.settings.topology)
            let deployment = session.deployment
            let certificates = certificates
            let report = try await stoppable(reporter: session.reporter) {
                try await deployment.rotate(scope, certificates: certificates, stop: $0)
            }
            if common.isJSON {
                try Console.out(
                    json: [
                        "secrets": report.secrets.map(\.description),
                        "certificates": report.certificates.map(\.description),
                    ])
            } else {
                Console.out(
                    certificates
                        ? "\(report.certificates.count) certificates replaced."
                        : "\(report.secrets.count) secrets replaced; the old ones are refused.")
            }
        }
    }

    private func scope(in topology: Topology) throws -> SecretRotation.Scope {
        guard let target else { return .cloud }
        if let path = CellPath(target), topology.cell(path) != nil { return .cell(path) }
        if topology.host(HostName(target)) != nil { return .host(HostName(target)) }
        throw UserError("no cell or host is called \(target); cells begin with a slash: /north")
    }
}

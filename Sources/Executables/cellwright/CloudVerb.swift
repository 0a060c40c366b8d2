import ArgumentParser
import CloudModel
import Deployer
import Primitives
import Topology

/// What commands share that speak with the cloud through its cells API.
protocol CloudVerb: AsyncParsableCommand {
    var common: CommonOptions { get }

    /// - Parameter json: whether programs read the answer.
    func run(_ cells: CellsClient, session: DeploymentSession) async throws
}

extension CloudVerb {
    func run() async throws {
        try await reportingErrors(json: common.isJSON) {
            let session = try DeploymentSession(common) { Console.error($0) }
            try await run(try await session.deployment.cells(), session: session)
        }
    }

    /// One document for programs, or lines for people.
    func show(_ value: some Encodable, _ lines: @autoclosure () -> [String]) throws {
        if common.isJSON { return try Console.out(json: value) }
        for line in lines() { Console.out(line) }
    }
}

/// A cell's path; the slash in front may be left out.
struct CellArgument: ExpressibleByArgument {
    let path: CellPath

    init?(argument: String) {
        guard let path = CellPath(argument.hasPrefix("/") ? argument : "/" + argument) else { return nil }
        self.path = path
    }
}

/// Why a cell or a host gets no new servers.
struct ReasonOption: ParsableArguments {
    @Option(help: "Why, for others to read.")
    var reason: String?

    func validate() throws {
        guard let reason else { return }
        guard (1...PlacementOrder.reasonLimit).contains(reason.count) else {
            throw ValidationError("--reason takes 1 to \(PlacementOrder.reasonLimit) characters")
        }
    }
}

extension ExitCode {
    /// There is no cell, host, server or process of that name.
    static let unknownName = ExitCode(5)
    /// The cloud does not answer, or does not take the administrator's password.
    static let cloudSilent = ExitCode(6)
}

extension CellsFailure {
    /// The exit status that scripts may rely on.
    var exitCode: ExitCode {
        switch self {
        case .unknown: .unknownName
        case .unreachable, .unauthorized: .cloudSilent
        case .refused: .refused
        case .unavailable, .failed: .failed
        }
    }
}

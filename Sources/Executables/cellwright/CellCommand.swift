import ArgumentParser
import CloudModel
import Deployer
import Topology

struct CellCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "cell", abstract: "The cells of the cloud: show, close, empty and remove them.",
        subcommands: [
            List.self, Show.self, Drain.self, Undrain.self, Disable.self, Enable.self, Retire.self,
        ])

    struct List: CloudVerb {
        static let configuration = CommandConfiguration(
            abstract: "Show every cell with its health, its servers and what it has.")

        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            let all = try await cells.cells()
            try show(all, CellText.table(all))
        }
    }

    struct Show: CloudVerb {
        static let configuration = CommandConfiguration(abstract: "Show one cell and its hosts.")

        @Argument(help: "The cell's path, such as /north.") var cell: CellArgument
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            let report = try await cells.cell(cell.path)
            let hosts = try await cells.hosts(of: cell.path)
            try show(CellDocument(cell: report, hosts: hosts), CellText.lines(report, hosts: hosts))
        }
    }

    struct Drain: CloudVerb {
        static let configuration = CommandConfiguration(
            abstract: "Give a cell no new servers from now on, and say what remains there.")

        @Argument(help: "The cell's path, such as /north.") var cell: CellArgument
        @OptionGroup var why: ReasonOption
        @Flag(help: "Wait until no server remains.") var wait = false
        @Option(help: ArgumentHelp("Seconds to wait at most.", valueName: "seconds")) var timeout = 3600
        @OptionGroup var common: CommonOptions

        func validate() throws {
            guard (1...604_800).contains(timeout) else { throw ValidationError("--timeout must be from 1 to 604800") }
        }

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            try await order(.draining, reason: why.reason, of: cell, cells)
            if wait { try await waitUntilEmpty(cells) }
        }

        private func waitUntilEmpty(_ cells: CellsClient) async throws {
            let clock = ContinuousClock()
            let end = clock.now + .seconds(timeout)
            var last: Int?
            while true {
                let remaining = try await cells.cell(cell.path).servers.total
                if remaining != last { Console.error("servers left in \(cell.path): \(remaining)") }
                last = remaining
                if remaining == 0 { return }
                guard clock.now < end else {
                    throw CellsFailure.refused("\(remaining) servers remain in \(cell.path) after \(timeout) s")
                }
                try await clock.sleep(for: .seconds(2))
            }
        }
    }

    struct Undrain: CloudVerb {
        static let configuration = CommandConfiguration(abstract: "Give a drained cell new servers again.")

        @Argument(help: "The cell's path, such as /north.") var cell: CellArgument
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            try await order(.enabled, reason: nil, of: cell, cells)
        }
    }

    struct Disable: CloudVerb {
        static let configuration = CommandConfiguration(
            abstract: "Give a cell no new servers from now on; what is there is to stay.")

        @Argument(help: "The cell's path, such as /north.") var cell: CellArgument
        @OptionGroup var why: ReasonOption
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            try await order(.disabled, reason: why.reason, of: cell, cells)
        }
    }

    struct Enable: CloudVerb {
        static let configuration = CommandConfiguration(abstract: "Give a cell new servers again.")

        @Argument(help: "The cell's path, such as /north.") var cell: CellArgument
        @OptionGroup var common: CommonOptions

        func run(_ cells: CellsClient, session: DeploymentSession) async throws {
            try await order(.enabled, reason: nil, of: cell, cells)
        }
    }
}

/// `cell show` for programs, and the answer to an order.
private struct CellDocument: Encodable {
    var cell: CellReport
    var hosts: [HostReport]
}

extension CloudVerb {
    fileprivate func order(
        _ state: PlacementOrder.State, reason: String?, of cell: CellArgument, _ cells: CellsClient
    ) async throws {
        let report = try await cells.order(state, reason: reason, of: cell.path)
        let hosts = try await cells.hosts(of: cell.path)
        try show(CellDocument(cell: report, hosts: hosts), CellText.answer(report, hosts: hosts))
    }
}

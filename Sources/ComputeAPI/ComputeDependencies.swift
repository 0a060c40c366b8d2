package import CellProtocol
package import CloudModel
import FoundationEssentials
package import HTTPKit
package import Primitives

/// Everything that the compute API needs, given by its process.
package struct ComputeDependencies: Sendable {
    package var directory: any DirectoryStore
    package var acceptance: any ServerAcceptance
    package var cells: any CellRouter
    package var hosts: any HostDirectory
    package var aggregates: any AggregateStore
    package var serverGroups: any ServerGroupStore
    package var flavors: any FlavorStore
    package var keyPairs: any KeyPairStore
    package var quotas: any ComputeQuotaStore
    package var actions: any InstanceActionStore
    package var networks: any NetworkStore
    package var images: any ImageCatalog
    package var tickets: any ImageTicketIssuer
    package var tokens: any TokenValidator
    package var keyGenerator: any KeyGenerator
    package var ids: any IDSource
    package var wallClock: any WallClock
    /// How long a cell may take to answer.
    package var cellTimeout: Duration

    package init(
        directory: any DirectoryStore, acceptance: any ServerAcceptance, cells: any CellRouter,
        hosts: any HostDirectory, aggregates: any AggregateStore, serverGroups: any ServerGroupStore,
        flavors: any FlavorStore, keyPairs: any KeyPairStore, quotas: any ComputeQuotaStore,
        actions: any InstanceActionStore, networks: any NetworkStore, images: any ImageCatalog,
        tickets: any ImageTicketIssuer, tokens: any TokenValidator, keyGenerator: any KeyGenerator,
        ids: any IDSource, wallClock: any WallClock, cellTimeout: Duration = .seconds(10)
    ) {
        self.directory = directory
        self.acceptance = acceptance
        self.cells = cells
        self.hosts = hosts
        self.aggregates = aggregates
        self.serverGroups = serverGroups
        self.flavors = flavors
        self.keyPairs = keyPairs
        self.quotas = quotas
        self.actions = actions
        self.networks = networks
        self.images = images
        self.tickets = tickets
        self.tokens = tokens
        self.keyGenerator = keyGenerator
        self.ids = ids
        self.wallClock = wallClock
        self.cellTimeout = cellTimeout
    }

    /// For what a cell must only read: its user rather sees a partial record than waits.
    func readContext(_ request: ComputeRequest) -> CellCallContext {
        callContext(request, within: min(cellTimeout, Self.readTimeout))
    }

    /// How long a cell may take to show servers.
    private static let readTimeout: Duration = .seconds(4)

    func callContext(_ request: ComputeRequest) -> CellCallContext { callContext(request, within: cellTimeout) }

    private func callContext(_ request: ComputeRequest, within limit: Duration) -> CellCallContext {
        let seconds = limit / .seconds(1)
        return CellCallContext(
            requestID: request.requestID, caller: request.caller,
            deadline: wallClock.now().addingTimeInterval(seconds))
    }
}

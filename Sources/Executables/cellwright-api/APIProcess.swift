import BusSetup
import CellProtocol
import CellsAPI
import CloudModel
import ComputeAPI
import DatabaseSetup
import HTTPKit
import IdentityAPI
import ImageAPI
import Logging
import NetworkAPI
import Persistence
import PostgresClient
import Primitives
import ServiceKit
import ServiceLifecycle
import SystemPackage

/// The composition root of the API.
struct APIProcess {
    /// Connections to the root's database: requests are many, each holds one for a millisecond.
    static let databaseConnections = 8

    let settings: APISettings

    func run() async throws {
        let shell = ProcessShell(service: "cellwright-api")
        let pool = try DatabaseSetup.open(settings.database, name: "api", connections: Self.databaseConnections)
        let clock = DatabaseClock(pool)
        let identity = try IdentityParts(settings, pool, clock)
        let networks = PostgresNetworkStore(pool: pool, ids: SystemIDSource())
        let root = PostgresRootStore(pool: pool, ports: .network(networks))
        let children = ChildConnections(name: "api", tls: settings.tls, wallClock: clock, logger: shell.logger)
        let router = ChildRouter(
            sender: "api", ids: SystemIDSource(), wallClock: clock, renew: { children.renew($0) },
            below: { await CellFeed.below(root, shell.logger) }, connect: { children.open($0) })
        let images = PostgresImageRepository(pool: pool)
        let imageStore = try ImageStore(folder: FilePath(settings.imageDirectory))
        let tickets = ImageTicketSigner(key: identity.key, clock: clock)
        let services: [any APIService] = [
            IdentityService(
                configuration: IdentityConfiguration(region: settings.region), repository: identity.repository,
                hasher: identity.hasher, authority: identity.authority, ids: SystemIDSource()),
            NetworkService(
                NetworkDependencies(
                    store: networks, tokens: identity.authority, ids: SystemIDSource(), wallClock: clock)),
            ImageService(
                configuration: ImageConfiguration(), repository: images, store: imageStore,
                validator: identity.authority,
                tickets: tickets, ids: SystemIDSource(), clock: clock),
            ComputeService(
                compute(root, router, pool, networks, RepositoryImageCatalog(images), tickets, identity, clock)),
            CellsService(
                CellsDependencies(
                    registry: root, cells: router, actions: PostgresComputeStore(pool: pool),
                    tokens: identity.authority, wallClock: clock)),
        ]
        shell.health.watch("tokens") { identity.authority.isReady ? .up : .down("revocations are not read yet") }
        let health = shell.health
        let metrics = shell.metrics
        let server = HTTPServer(
            configuration: HTTPServerConfiguration(
                host: settings.listen.host, port: settings.listen.port, publicURL: settings.publicURL,
                certificateFile: settings.tls?.certificate),
            services: services,
            operations: OperationsEndpoints(
                health: {
                    let (isUp, json) = health.render()
                    return .init(isHealthy: isUp, body: json)
                }, metrics: { metrics.render() }),
            ids: SystemIDSource(), clock: ContinuousClock(), logger: shell.logger)
        let revocations = RevocationFeed(
            authority: identity.authority, repository: identity.repository, wallClock: clock,
            clock: ContinuousClock(), logger: shell.logger)
        let janitor = ImageJanitor(
            repository: images, store: imageStore, wallClock: clock, clock: ContinuousClock(),
            logger: shell.logger)
        let cells = CellFeed(store: root, router: router, logger: shell.logger)
        let whenReady = WhenReady(service: server) { identity.authority.isReady && cells.isRead.isSo }
        try await shell.run([ClockKeeper(clock, logger: shell.logger), revocations, janitor, cells, whenReady])
        await router.update([])
        await pool.close()
    }

    private func compute(
        _ root: PostgresRootStore, _ router: ChildRouter, _ pool: PostgresPool, _ networks: PostgresNetworkStore,
        _ images: any ImageCatalog, _ tickets: ImageTicketSigner, _ identity: IdentityParts,
        _ clock: DatabaseClock
    ) -> ComputeDependencies {
        let store = PostgresComputeStore(pool: pool)
        return ComputeDependencies(
            directory: root, acceptance: PostgresServerAcceptance(store: root, now: { clock.now() }),
            cells: router, hosts: root, aggregates: root, serverGroups: root, flavors: store, keyPairs: store,
            quotas: store, actions: store,
            networks: networks, images: images, tickets: tickets, tokens: identity.authority,
            keyGenerator: Ed25519KeyGenerator(), ids: SystemIDSource(), wallClock: clock)
    }
}

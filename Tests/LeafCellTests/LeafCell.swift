import CellProtocol
import CloudModel
import Conductor
import FoundationEssentials
import Logging
import MessageBus
import Primitives
import ServerLifecycle
import Supervisor
import Synchronization
import Testing

/// A whole leaf in this process: broker, store, supervisor, conductors, two hosts, and a parent that listens.
struct LeafCell: Sendable {
    let store: any CellStore
    let broker: TestBroker
    let wallClock: TestWallClock
    let hosts: [FakeAgent]
    let parent: Parent
    /// The parent's own connection, for calls.
    let bus: any MessageBus

    init(_ store: any CellStore, wallClock: TestWallClock, broker: TestBroker) throws {
        self.store = store
        self.wallClock = wallClock
        self.broker = broker
        hosts = try TestBroker.hosts.map {
            FakeAgent($0, bus: try broker.connect(.host($0)), wallClock: wallClock)
        }
        bus = try broker.connect(.parent)
        parent = Parent(bus: bus)
    }

    static var conductorSettings: ConductorSettings {
        var settings = ConductorSettings()
        settings.tick = .milliseconds(5)
        settings.sweepInterval = .milliseconds(20)
        settings.firstRepeat = .milliseconds(50)
        settings.repeatCap = .milliseconds(200)
        settings.leaseDuration = .seconds(60)
        return settings
    }

    static var leafSettings: ChildSettings {
        var settings = ChildSettings()
        settings.heartbeatInterval = .milliseconds(50)
        settings.pulseInterval = .milliseconds(50)
        settings.publishInterval = .milliseconds(50)
        settings.reconcileInterval = .milliseconds(50)
        return settings
    }

    func conductor(_ name: String = "c1", over store: (any CellStore)? = nil) throws -> ConductorService {
        ConductorService(
            cell: testCell, name: name, store: store ?? self.store, bus: try broker.connect(.control),
            clock: ContinuousClock(),
            wallClock: wallClock, ids: SystemIDSource(), settings: Self.conductorSettings, logger: quiet)
    }

    func supervisor(_ name: String = "s1", settings: ChildSettings = leafSettings) throws -> LeafSupervisor {
        LeafSupervisor(
            cell: testCell, name: name, version: "test", hosts: hosts.map(\.name), store: store,
            bus: try broker.connect(.control), clock: ContinuousClock(), wallClock: wallClock, ids: SystemIDSource(),
            settings: settings, logger: quiet)
    }

    /// Runs a leaf around `body`; with no `conductors` there is none until the test starts one.
    static func with(
        _ kind: StoreKind = .memory, conductors: [String] = ["c1"], broker: TestBroker = .inMemory(),
        _ body: @escaping @Sendable (LeafCell) async throws -> Void
    ) async throws {
        let wallClock = TestWallClock()
        try await kind.with(wallClock) { store in
            let leaf = try LeafCell(store, wallClock: wallClock, broker: broker)
            do {
                try await leaf.run(conductors, body)
            } catch {
                await broker.close()
                throw error
            }
            await broker.close()
        }
    }

    private func run(
        _ conductors: [String], _ body: @escaping @Sendable (LeafCell) async throws -> Void
    ) async throws {
        let administration = try broker.connect(.control)
        try await administration.declare(.cell)
        try await withThrowingTaskGroup(of: Void.self) { group in
            let supervisor = try supervisor()
            group.addTask { try await supervisor.run() }
            group.addTask { try await parent.run() }
            for host in hosts {
                try await administration.declare(.host(host.name.text))
                group.addTask { try? await host.run() }
            }
            for conductor in try conductors.map({ try self.conductor($0) }) {
                group.addTask { try await conductor.run() }
            }
            defer { group.cancelAll() }
            if !conductors.isEmpty { try await hostsAreUp() }
            try await body(self)
        }
    }

    func hostsAreUp() async throws {
        try await eventually("hosts are up") { try await store.hosts().filter(\.isUp).count == hosts.count }
    }

    /// Silences a host until the cell takes it for down. Time moves in steps: a conductor that had not looked for long would
    /// know that it may have missed what was said.
    func takeDown(_ host: FakeAgent) async throws {
        host.fallSilent(true)
        var polls = 0
        try await eventually("\(host.name) is down") {
            if polls % 8 == 0 { wallClock.advance(by: 2) }
            polls += 1
            return try await store.hosts().first { $0.name == host.name }?.isUp == false
        }
    }

    // MARK: The parent's calls

    func call<R: CellRequest>(_ request: R, as caller: Caller? = user, key: String? = nil) async throws -> R.Reply {
        let envelope = Envelope(
            messageID: ids.uuid(), idempotencyKey: key, requestID: "req-1", deadline: wallClock.now() + 20,
            sender: "test", caller: caller, kind: R.kind, body: try JSONEncoder().encode(request))
        let answer = try await bus.call(envelope, queue: CellTopology.supervisorQueue, timeout: .seconds(20))
        return try CellCall.decode(answer, as: R.self)
    }

    func build(_ instance: Instance) async throws -> ServerID {
        let reply = try await call(BuildRequest(builds: [makeBuild(instance)]))
        try #require(reply.accepted == [instance.id], "\(reply.refused)")
        return instance.id
    }

    func act(_ action: ServerAction, _ id: ServerID) async throws -> ActRequest.Reply {
        try await call(ActRequest(id: id, action: action))
    }

    func state(_ id: ServerID) async throws -> ServerState? { try await stored(id)?.instance.state }

    func stored(_ id: ServerID) async throws -> StoredServer? {
        try await store.snapshot(CellScope(servers: [id])).servers[id]
    }

    func waitUntil(_ id: ServerID, _ vm: VMState, sourceLocation: SourceLocation = #_sourceLocation) async throws {
        try await eventually("\(vm)", sourceLocation: sourceLocation) {
            let state = try await state(id)
            return state?.vm == vm && state?.task == nil
        }
    }

    /// A server that runs on `host`.
    func boot(on host: HostName = "host-1") async throws -> ServerID {
        let id = try await build(makeInstance(host: host))
        try await waitUntil(id, .active)
        return id
    }

    /// No saga lives and nothing of the server is left anywhere.
    func isCleared(_ id: ServerID) async throws -> Bool {
        let snapshot = try await store.snapshot(CellScope(servers: [id]))
        return snapshot.liveSagas(of: id).isEmpty && hosts.allSatisfy { $0.guests[id] == nil }
    }
}

let quiet: Logger = {
    var logger = Logger(label: "test")
    logger.logLevel = .critical
    return logger
}()

/// Who listens to the cell's events.
final class Parent: Sendable {
    private let bus: any MessageBus
    private let received = Mutex<[SequencedEvent]>([])
    private let beats = Mutex<[CellHeartbeat]>([])

    init(bus: any MessageBus) { self.bus = bus }

    /// As they came.
    var all: [SequencedEvent] { received.withLock { $0 } }
    var heartbeats: [CellHeartbeat] { beats.withLock { $0 } }
    /// Each once, in the order of their numbers.
    var events: [CellEvent] {
        Dictionary(all.map { ($0.sequence, $0.event) }) { first, _ in first }.sorted { $0.key < $1.key }.map(\.value)
    }

    func news(of id: ServerID) -> [CellEvent] {
        events.filter { event in
            switch event {
            case .instanceChanged(let summary): summary.id == id
            case .buildFailed(let failure): failure.id == id
            case .instanceDeleted(let deletion): deletion.id == id
            case .hostChanged, .cellChanged, .cellRemoved: false
            }
        }
    }

    /// What was left out because much waited at once; a parent asks for it.
    private func missing(before event: SequencedEvent) async throws -> [SequencedEvent] {
        var last = received.withLock { $0.map(\.sequence).max() ?? 0 }
        var missing: [SequencedEvent] = []
        while last + 1 < event.sequence {
            let request = Envelope(
                messageID: ids.uuid(), requestID: "-", sender: "test", kind: EventsRequest.kind,
                body: try JSONEncoder().encode(EventsRequest(after: last)))
            let answer = try await bus.call(request, queue: CellTopology.supervisorQueue, timeout: .seconds(20))
            let events = try CellCall.decode(answer, as: EventsRequest.self).events
            guard let newest = events.last?.sequence else { break }
            missing += events.filter { $0.sequence < event.sequence }
            last = newest
        }
        return missing
    }

    func run() async throws {
        try await bus.consume(queue: CellTopology.parentQueue, prefetch: 1) { [self] delivery in
            do {
                if delivery.envelope.kind == SequencedEvent.kind {
                    let event = try JSONDecoder().decode(SequencedEvent.self, from: delivery.envelope.body)
                    let missing = try await self.missing(before: event)
                    received.withLock { $0 += missing + [event] }
                } else {
                    let beat = try JSONDecoder().decode(CellHeartbeat.self, from: delivery.envelope.body)
                    beats.withLock { $0.append(beat) }
                }
                return .acknowledge
            } catch {
                return .reject
            }
        }
    }
}

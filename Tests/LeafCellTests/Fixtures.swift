import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import ServerLifecycle
import Synchronization
import Testing

/// Calendar time that can be moved on. It starts at the real time and goes with it, because leases in a database do.
final class TestWallClock: WallClock {
    private let offset = Mutex<TimeInterval>(0)

    func now() -> Date { SystemWallClock().now() + offset.withLock { $0 } }
    func advance(by seconds: TimeInterval) { offset.withLock { $0 += seconds } }
}

let testCell = CellPath("/north") ?? .root
let testEpoch = Date(timeIntervalSince1970: 1_800_000_000)
let ids = SystemIDSource()

func makeInstance(
    _ id: ServerID = ids.next(), host: HostName = "host-1", epoch: Int = 1, project: ProjectID = "project"
) -> Instance {
    var instance = Instance(
        id: id, projectID: project, userID: "user", name: "web", hostname: "web",
        flavor: Flavor(id: "1", name: "small", vcpus: 1, memoryMiB: 512, diskGiB: 1), image: nil,
        reservationID: "r-1", createdAt: testEpoch)
    instance.host = host
    instance.epoch = epoch
    instance.availabilityZone = "zone-1"
    return instance
}

func makeBuild(_ instance: Instance) -> BuildSpecification {
    BuildSpecification(
        instance: instance, requestID: "req-build", publicKey: "ssh-ed25519 AAAA",
        image: ImageTicket(imageID: ids.next(), token: "t", expiresAt: testEpoch + 3600))
}

func makeInventory(vcpus: Int = 8) -> HostInventory {
    HostInventory(
        vcpus: vcpus, memoryMiB: 8192, diskGiB: 100, hypervisorType: "simulated", hypervisorVersion: 1,
        hypervisorHostname: "hv", hostIP: "127.0.0.1", agentVersion: "1")
}

func makeSighting(
    _ name: HostName = "host-1", at date: Date = testEpoch, provider: ProviderID, inventory: HostInventory?
) -> HostSighting {
    HostSighting(name: name, providerID: provider, availabilityZone: "zone-1", seenAt: date, inventory: inventory)
}

let user = Caller(userID: "user", projectID: "project", roles: ["member"])
let admin = Caller(userID: "root", projectID: "admin", roles: ["admin"])

func makeOrder(
    _ action: ServerAction, _ id: ServerID, caller: Caller? = user, key: String = ids.uuid().uuidString,
    sagaID: SagaID = ids.next()
) -> ActOrder {
    ActOrder(
        request: ActRequest(id: id, action: action), caller: caller, requestID: "req-act", idempotencyKey: key,
        traceParent: nil, sagaID: sagaID)
}

/// A snapshot that a test changes by plans, as a store would.
struct World {
    var snapshot = CellSnapshot()
    var now = testEpoch
    var events: [CellEvent] = []
    var actions: [CellActionRecord] = []

    init() { snapshot.knownHosts = ["host-1", "host-2"] }

    @discardableResult
    mutating func plan<Result>(_ body: (inout CellPlan) throws -> Result) rethrows -> Result {
        var plan = CellPlan(snapshot, now: now)
        let result = try body(&plan)
        let changes = plan.changes()
        // What is read back is what was written, nothing else.
        snapshot.servers.merge(changes.servers) { $1 }
        for saga in changes.newSagas { snapshot.sagas[saga.id] = saga }
        for (id, change) in changes.sagas {
            snapshot.sagas[id]?.log += change.appended
            if change.isTakenUp { snapshot.sagas[id]?.takeUp() }
            if let end = change.end { snapshot.sagas[id]?.close(end) }
        }
        for action in changes.newActions { snapshot.knownKeys.insert(action.idempotencyKey) }
        actions += changes.newActions
        events += changes.events
        now += 1
        return result
    }

    func instance(_ id: ServerID) throws -> Instance { try #require(snapshot.servers[id]).instance }
    func live(_ id: ServerID) -> [SagaRecord] { snapshot.liveSagas(of: id) }

    /// A server whose boot was accepted, and its saga.
    mutating func admit(_ instance: Instance = makeInstance()) throws -> (ServerID, SagaID) {
        let saga: SagaID = ids.next()
        let refusal = plan { $0.admit(makeBuild(instance), sagaID: saga, caller: user, traceParent: nil) }
        try #require(refusal == nil)
        return (instance.id, saga)
    }

    mutating func resume(_ saga: SagaID) throws -> Pursuit? { try plan { try $0.resume(saga).get() } }

    @discardableResult
    mutating func report(
        _ pursuit: Pursuit, _ outcome: StepResult.Outcome, from hostKey: String? = nil
    ) -> ReportOutcome {
        let result = StepResult(
            key: pursuit.command.key, instanceID: pursuit.command.instanceID, outcome: outcome)
        return plan {
            $0.take(
                result, from: hostKey ?? CellTopology.hostKey(pursuit.host.text),
                lease: SagaLease(owner: "c", duration: .seconds(10)))
        }
    }

    /// A server that runs.
    mutating func boot(_ instance: Instance = makeInstance()) throws -> ServerID {
        let (id, saga) = try admit(instance)
        let pursuit = try #require(try resume(saga))
        #expect(report(pursuit, .succeeded(power: .running)) == .applied(nil))
        return id
    }
}

let brokenSpawn = StepResult.Outcome.failed(reason: "No disk space.", details: "ENOSPC", isPermanent: true)
let busySpawn = StepResult.Outcome.failed(reason: "Busy.", details: "EAGAIN", isPermanent: false)

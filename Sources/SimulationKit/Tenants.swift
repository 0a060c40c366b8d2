import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import ServerLifecycle
import Synchronization

/// Users of a run: they make servers, stop, start, reboot and delete them while things go wrong, and remember what they
/// were answered.
final class Tenants: Sendable {
    private static let servers = 2...5
    private static let accepting = 500...18_000
    private static let pausing = 100...9_000
    /// How long a user waits for an answer of a cell (seconds).
    private static let patience: TimeInterval = 5

    struct Story: Sendable, Equatable {
        var isDeleteAccepted = false
        var actions = 0
        var answered = 0
    }

    private let cloud: SimulatedCloud
    private let stories = Mutex<[ServerID: Story]>([:])

    init(_ cloud: SimulatedCloud) { self.cloud = cloud }

    var all: [ServerID: Story] { stories.withLock { $0 } }

    /// Until everybody has done what he wanted, or cancelled.
    func run() async {
        await withDiscardingTaskGroup { group in
            for number in 1...cloud.weather.draw(Self.servers) { group.addTask { await self.live(number) } }
        }
    }

    private func live(_ number: Int) async {
        do {
            try await pause(Self.accepting)
            guard let id = try await create(number) else { return }
            for _ in 0..<cloud.weather.draw(0...3) {
                try await pause(Self.pausing)
                switch cloud.weather.draw(0...9) {
                case 0...2: await act(.stop, id)
                case 3...5: await act(.start, id)
                case 6: await act(.reboot(hard: false), id)
                case 7: await act(.reboot(hard: true), id)
                default: return try await delete(id)
                }
            }
            if cloud.weather.chance(40) {
                try await pause(Self.pausing)
                try await delete(id)
            }
        } catch {
            // The run is over.
        }
    }

    private func pause(_ range: ClosedRange<Int>) async throws {
        try await cloud.clock.sleep(for: cloud.weather.milliseconds(range))
    }

    private func create(_ number: Int) async throws -> ServerID? {
        let now = cloud.wallClock.now()
        let flavor = Flavor(id: "1", name: "small", vcpus: 1, memoryMiB: 512, diskGiB: 1)
        let instance = Instance(
            id: cloud.ids.next(), projectID: "p", userID: "u", name: "s\(number)", hostname: "s\(number)",
            flavor: flavor, image: nil, reservationID: "r-1", createdAt: now)
        let server = NewServers.Server(
            build: BuildSpecification(instance: instance, requestID: "req-\(number)", publicKey: nil, image: nil),
            ports: PortReservation(
                serverID: instance.id, projectID: "p", choice: .none, securityGroups: [], hostname: instance.hostname,
                isAdmin: false))
        _ = try await cloud.root.accept(NewServers(servers: [server], quota: .standard))
        stories.withLock { $0[instance.id] = Story() }
        cloud.log.add("USER creates \(instance.id)")
        return instance.id
    }

    private func act(_ action: ServerAction, _ id: ServerID) async {
        guard let cell = cloud.root.view().servers[id]?.cell else { return }
        stories.withLock { $0[id]?.actions += 1 }
        let context = CellCallContext(
            requestID: "req-act", caller: Caller(userID: "u", projectID: "p", roles: ["member"]),
            deadline: cloud.wallClock.now() + Self.patience)
        do throws(CellError) {
            let reply = try await cloud.router.send(ActRequest(id: id, action: action), to: cell, context: context)
            stories.withLock { $0[id]?.answered += 1 }
            cloud.log.add("USER \(action) \(id): \(reply)")
        } catch {
            cloud.log.add("USER \(action) \(id): \(error)")
        }
    }

    private func delete(_ id: ServerID) async throws {
        let outcome = try await cloud.root.delete(
            id, requestID: "req-delete", caller: Caller(userID: "u", projectID: "p", roles: ["member"]))
        cloud.log.add("USER deletes \(id): \(outcome)")
        if outcome != .notFound { stories.withLock { $0[id]?.isDeleteAccepted = true } }
    }
}

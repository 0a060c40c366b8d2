import CloudModel
import FoundationEssentials
import HypervisorDriver
import Primitives
import Synchronization
import Testing

/// What a contract is checked on: a way to open drivers on one hypervisor, and guests that it can run.
struct HypervisorSubject: Sendable {
    let open: @Sendable () async throws -> any HypervisorDriver
    let guest: @Sendable (ServerID) throws -> GuestDefinition

    /// Opens a driver, hands it over with what it reports by itself, and closes it.
    func with(_ body: (any HypervisorDriver, LifecycleRecord) async throws -> Void) async throws {
        let driver = try await open()
        let record = LifecycleRecord()
        let outcome = await withTaskGroup(of: Void.self, returning: Result<Void, any Error>.self) { group in
            group.addTask {
                for await event in driver.lifecycleEvents { record.add(event) }
            }
            let outcome: Result<Void, any Error>
            do { outcome = .success(try await body(driver, record)) } catch { outcome = .failure(error) }
            await driver.close()
            return outcome
        }
        try outcome.get()
    }

    /// The same with a guest that is defined, and is gone afterwards.
    func withGuest(
        _ body: (any HypervisorDriver, GuestDefinition, LifecycleRecord) async throws -> Void
    ) async throws {
        try await with { driver, record in
            let guest = try guest(ServerID(UUID()))
            try await driver.define(guest)
            do {
                try await body(driver, guest, record)
            } catch {
                try await remove(guest.id, from: driver)
                throw error
            }
            try await remove(guest.id, from: driver)
        }
    }

    private func remove(_ id: ServerID, from driver: any HypervisorDriver) async throws {
        do throws(HypervisorError) { try await driver.destroy(id) } catch .notFound { return }
        try await driver.undefine(id)
    }
}

/// The events that a driver sent, in order.
final class LifecycleRecord: Sendable {
    private let events = Mutex<[GuestLifecycle]>([])
    func add(_ event: GuestLifecycle) { events.withLock { $0.append(event) } }
    func powers(of id: ServerID) -> [PowerState] { events.withLock { $0.filter { $0.id == id }.map(\.power) } }
}

/// Waits until a condition holds, looking again and again.
func eventually(
    _ what: String, within limit: Duration = .seconds(30), _ condition: () async throws -> Bool
) async throws {
    let end = ContinuousClock.now + limit
    while try await !condition() {
        try #require(ContinuousClock.now < end, "waited \(limit) in vain until \(what)")
        try await Task.sleep(for: .milliseconds(10))
    }
}

/// The error that a call ends with.
func refusal(_ body: () async throws -> Void) async -> HypervisorError? {
    do {
        try await body()
    } catch let error as HypervisorError {
        return error
    } catch {
        Issue.record(error)
    }
    return nil
}

extension HypervisorError {
    var isInvalid: Bool { if case .invalid = self { true } else { false } }
}

/// One clause of what every ``HypervisorDriver`` promises.
struct HypervisorContract: Sendable, CustomTestStringConvertible {
    let name: String
    let check: @Sendable (HypervisorSubject) async throws -> Void
    var testDescription: String { name }

    init(_ name: String, _ check: @escaping @Sendable (HypervisorSubject) async throws -> Void) {
        self.name = name
        self.check = check
    }

    static let all = definitions + powers + looks

    private static let definitions: [HypervisorContract] = [
        HypervisorContract("a defined guest is known and does not run") { subject in
            try await subject.withGuest { driver, guest, _ in
                let power = try await driver.state(of: guest.id)
                #expect(power == .shutdown)
                #expect(try await driver.guests()[guest.id] == .shutdown)
            }
        },
        HypervisorContract("a second definition replaces the first") { subject in
            try await subject.withGuest { driver, guest, _ in
                var larger = guest
                larger.memoryMiB *= 2
                larger.vcpus += 1
                try await driver.define(larger)
                let statistics = try await driver.statistics(of: guest.id)
                #expect(statistics.memoryMiB == larger.memoryMiB)
                #expect(statistics.vcpus == larger.vcpus)
            }
        },
        HypervisorContract("a definition survives the driver that made it") { subject in
            let guest = try subject.guest(ServerID(UUID()))
            try await subject.with { driver, _ in try await driver.define(guest) }
            try await subject.with { driver, _ in
                #expect(try await driver.guests()[guest.id] == .shutdown)
                try await driver.undefine(guest.id)
            }
        },
        HypervisorContract("a guest without processors or memory is invalid") { subject in
            try await subject.with { driver, _ in
                var guest = try subject.guest(ServerID(UUID()))
                guest.vcpus = 0
                let withoutProcessors = guest
                guest.vcpus = 1
                guest.memoryMiB = 0
                for invalid in [withoutProcessors, guest] {
                    #expect(await refusal { try await driver.define(invalid) }?.isInvalid == true)
                }
                #expect(try await driver.guests()[guest.id] == nil)
            }
        },
        HypervisorContract("a running guest cannot be undefined, one that is off is gone then") { subject in
            try await subject.withGuest { driver, guest, _ in
                try await driver.start(guest.id)
                #expect(await refusal { try await driver.undefine(guest.id) }?.isInvalid == true)
                #expect(try await driver.state(of: guest.id) == .running)
                try await driver.destroy(guest.id)
                try await driver.undefine(guest.id)
                #expect(try await driver.guests()[guest.id] == nil)
                #expect(await refusal { _ = try await driver.state(of: guest.id) } == .notFound(guest.id))
            }
        },
        HypervisorContract("an unknown guest is not found, and is forgotten already") { subject in
            try await subject.with { driver, _ in
                let id = ServerID(UUID())
                #expect(await refusal { try await driver.start(id) } == .notFound(id))
                #expect(await refusal { try await driver.requestShutdown(id) } == .notFound(id))
                #expect(await refusal { try await driver.requestReboot(id) } == .notFound(id))
                #expect(await refusal { try await driver.destroy(id) } == .notFound(id))
                #expect(await refusal { _ = try await driver.state(of: id) } == .notFound(id))
                #expect(await refusal { _ = try await driver.statistics(of: id) } == .notFound(id))
                #expect(await refusal { _ = try await driver.consoleLog(of: id, byteLimit: 1) } == .notFound(id))
                #expect(await refusal { _ = try await driver.vncAddress(of: id) } == .notFound(id))
                #expect(await refusal { try await driver.undefine(id) } == nil)
            }
        },
    ]

    private static let powers: [HypervisorContract] = [
        HypervisorContract("start and destroy change the power, say so, and may be repeated") { subject in
            try await subject.withGuest { driver, guest, record in
                try await driver.start(guest.id)
                try await driver.start(guest.id)
                #expect(try await driver.state(of: guest.id) == .running)
                #expect(try await driver.guests()[guest.id] == .running)
                try await eventually("it was reported as running") { record.powers(of: guest.id).last == .running }
                try await driver.destroy(guest.id)
                try await driver.destroy(guest.id)
                #expect(try await driver.state(of: guest.id) == .shutdown)
                try await eventually("it was reported as off") { record.powers(of: guest.id).last == .shutdown }
            }
        },
        HypervisorContract("a shutdown of a guest that is off does nothing") { subject in
            try await subject.withGuest { driver, guest, _ in
                try await driver.requestShutdown(guest.id)
                #expect(try await driver.state(of: guest.id) == .shutdown)
            }
        },
        HypervisorContract("only a running guest can reboot") { subject in
            try await subject.withGuest { driver, guest, _ in
                #expect(await refusal { try await driver.requestReboot(guest.id) }?.isInvalid == true)
                try await driver.start(guest.id)
                try await driver.requestReboot(guest.id)
                #expect(try await driver.state(of: guest.id) == .running)
            }
        },
        HypervisorContract("many calls at once all get their answers") { subject in
            try await subject.withGuest { driver, guest, _ in
                let states = try await withThrowingTaskGroup(of: PowerState.self) { group in
                    for _ in 0..<100 { group.addTask { try await driver.state(of: guest.id) } }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(states == [PowerState](repeating: .shutdown, count: 100))
            }
        },
    ]

    private static let looks: [HypervisorContract] = [
        HypervisorContract("capabilities say what the host has and why the virtualisation was chosen") { subject in
            try await subject.with { driver, _ in
                let capabilities = try await driver.capabilities()
                #expect(capabilities.vcpus > 0)
                #expect(capabilities.memoryMiB > 0)
                #expect(capabilities.version > 0)
                #expect(!capabilities.virtType.isEmpty)
                #expect(!capabilities.virtTypeReason.isEmpty)
                #expect(!capabilities.hostname.isEmpty)
                #expect(!capabilities.architecture.isEmpty)
                #expect(driver.isConnected)
            }
        },
        HypervisorContract("a guest that never ran has said nothing") { subject in
            try await subject.withGuest { driver, guest, _ in
                let log = try await driver.consoleLog(of: guest.id, byteLimit: 1000)
                #expect(log.isEmpty)
            }
        },
        HypervisorContract("a guest that is off has no screen") { subject in
            try await subject.withGuest { driver, guest, _ in
                #expect(await refusal { _ = try await driver.vncAddress(of: guest.id) }?.isInvalid == true)
            }
        },
        HypervisorContract("statistics give the size of a guest") { subject in
            try await subject.withGuest { driver, guest, _ in
                let statistics = try await driver.statistics(of: guest.id)
                #expect(statistics.memoryMiB == guest.memoryMiB)
                #expect(statistics.vcpus == guest.vcpus)
            }
        },
    ]
}

package import CloudModel
import FoundationEssentials
import Primitives
import Synchronization

/// A hypervisor without guests behind it: for scale tests, `cellwright dev` and simulations.
///
/// It keeps what a real one keeps (definitions and power states, in a directory when it is given one, so that they
/// survive the agent) and answers at once. Guests obey every request.
package final class SimulatedHypervisor: HypervisorDriver {
    private struct Guest: Codable, Equatable {
        var displayName: String
        var vcpus: Int
        var memoryMiB: Int
        var power: PowerState
        var consoleLog: String
    }

    private let guestsByID: Mutex<[ServerID: Guest]>
    private let capacity: HypervisorCapabilities
    private let directory: String?
    private let eventSink: AsyncStream<GuestLifecycle>.Continuation
    package let lifecycleEvents: AsyncStream<GuestLifecycle>

    /// Lifecycle events kept for a slow consumer; beyond, the oldest are dropped.
    package static let eventLimit = 10_000

    /// - Parameters:
    ///   - directory: where guests are kept between runs; nil keeps them in memory only.
    /// - Throws: ``HypervisorError/failed(code:_:)`` when the directory can't be read or made.
    package init(
        vcpus: Int, memoryMiB: Int, hostname: String, directory: String? = nil
    ) throws(HypervisorError) {
        capacity = HypervisorCapabilities(
            virtType: "simulated", virtTypeReason: "asked for by the settings", vcpus: vcpus, memoryMiB: memoryMiB,
            version: 1_000_000, hostname: hostname, architecture: "x86_64", cpuModel: "simulated")
        self.directory = directory
        guestsByID = Mutex(try Self.load(from: directory))
        (lifecycleEvents, eventSink) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(Self.eventLimit))
    }

    package var isConnected: Bool { true }

    package func capabilities() async throws(HypervisorError) -> HypervisorCapabilities { capacity }

    package func define(_ guest: GuestDefinition) async throws(HypervisorError) {
        guard guest.vcpus > 0, guest.memoryMiB > 0 else { throw .invalid("a guest needs processors and memory") }
        try change(guest.id) { known in
            known = Guest(
                displayName: guest.displayName, vcpus: guest.vcpus, memoryMiB: guest.memoryMiB,
                power: known?.power ?? .shutdown, consoleLog: known?.consoleLog ?? "")
        }
    }

    package func start(_ id: ServerID) async throws(HypervisorError) {
        try setPower(of: id, to: .running) { $0.consoleLog += "simulated guest \($0.displayName) ready\n" }
    }

    package func requestShutdown(_ id: ServerID) async throws(HypervisorError) { try setPower(of: id, to: .shutdown) }

    package func requestReboot(_ id: ServerID) async throws(HypervisorError) {
        try change(id) { known throws(HypervisorError) in
            guard var guest = known else { throw .notFound(id) }
            guard guest.power == .running else { throw .invalid("guest \(id) does not run") }
            guest.consoleLog += "simulated guest \(guest.displayName) ready\n"
            known = guest
        }
    }

    package func destroy(_ id: ServerID) async throws(HypervisorError) { try setPower(of: id, to: .shutdown) }

    package func undefine(_ id: ServerID) async throws(HypervisorError) {
        try change(id) { guest throws(HypervisorError) in
            guard guest?.power != .running else { throw .invalid("guest \(id) still runs") }
            guest = nil
        }
    }

    package func state(of id: ServerID) async throws(HypervisorError) -> PowerState { try guest(id).power }

    package func guests() async throws(HypervisorError) -> [ServerID: PowerState] {
        guestsByID.withLock { $0.mapValues(\.power) }
    }

    package func statistics(of id: ServerID) async throws(HypervisorError) -> GuestStatistics {
        let guest = try guest(id)
        return GuestStatistics(cpuNanoseconds: 0, memoryMiB: guest.memoryMiB, vcpus: guest.vcpus)
    }

    package func consoleLog(of id: ServerID, byteLimit: Int) async throws(HypervisorError) -> [UInt8] {
        Array(try guest(id).consoleLog.utf8.suffix(byteLimit))
    }

    package func vncAddress(of id: ServerID) async throws(HypervisorError) -> ConsoleAddress {
        _ = try guest(id)
        throw .invalid("a simulated guest has no screen")
    }

    package func close() async { eventSink.finish() }

    private func guest(_ id: ServerID) throws(HypervisorError) -> Guest {
        guard let guest = guestsByID.withLock({ $0[id] }) else { throw .notFound(id) }
        return guest
    }

    private func setPower(
        of id: ServerID, to power: PowerState, also adjust: (inout Guest) -> Void = { _ in }
    ) throws(HypervisorError) {
        let isChanged = try change(id) { known throws(HypervisorError) in
            guard var guest = known else { throw .notFound(id) }
            guard guest.power != power else { return }
            guest.power = power
            adjust(&guest)
            known = guest
        }
        if isChanged { eventSink.yield(GuestLifecycle(id: id, power: power)) }
    }

    /// Changes a guest, once it is written how it will be.
    /// - Returns: whether it is another than before.
    @discardableResult
    private func change(
        _ id: ServerID, _ body: (inout Guest?) throws(HypervisorError) -> Void
    ) throws(HypervisorError) -> Bool {
        let outcome = guestsByID.withLock { guests -> Result<Bool, HypervisorError> in
            do throws(HypervisorError) {
                var guest = guests[id]
                try body(&guest)
                guard guest != guests[id] else { return .success(false) }
                try save(id, guest)
                guests[id] = guest
                return .success(true)
            } catch {
                return .failure(error)
            }
        }
        return try outcome.get()
    }

    private func save(_ id: ServerID, _ guest: Guest?) throws(HypervisorError) {
        guard let directory else { return }
        let url = URL(filePath: "\(directory)/\(id).json")
        do {
            if let guest {
                try JSONEncoder().encode(guest).write(to: url, options: .atomic)
            } else {
                try FileManager.default.removeItem(at: url)
            }
        } catch {
            throw .failed(code: 1, "the simulated guest's file can't be written: \(error)")
        }
    }

    private static func load(from directory: String?) throws(HypervisorError) -> [ServerID: Guest] {
        guard let directory else { return [:] }
        do {
            try FileManager.default.createDirectory(atPath: directory, withIntermediateDirectories: true)
            var guests: [ServerID: Guest] = [:]
            for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name.hasSuffix(".json") {
                guard let id = ServerID(name.dropLast(5)) else { continue }
                let data = try Data(contentsOf: URL(filePath: "\(directory)/\(name)"))
                guests[id] = try JSONDecoder().decode(Guest.self, from: data)
            }
            return guests
        } catch {
            throw .failed(code: 1, "the simulated guests can't be read from \(directory): \(error)")
        }
    }
}

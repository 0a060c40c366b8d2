import CLibvirt
package import CloudModel
import FoundationEssentials
import Glibc
package import HypervisorDriver
package import Primitives
import Synchronization

/// The hypervisor port over libvirt: QEMU with KVM or emulation, and libvirt's test driver for tests.
///
/// A call takes a place in a queue, runs on one of a few threads and answers; nothing of libvirt's ever runs on the
/// cooperative pool. Calls that change a guest and calls that only look have threads of their own, so that a look never
/// waits for guests that start or end. When libvirtd goes away, calls fail with ``HypervisorError/disconnected(_:)`` at
/// once while the connection is opened again; guests go on meanwhile, and what changed unnoticed is reported afterwards.
/// A caller that is cancelled gets ``HypervisorError/cancelled``, while a call that libvirt has already been given goes
/// on.
///
/// Whoever makes one closes it.
package final class LibvirtHypervisor: HypervisorDriver {
    package struct Settings: Sendable, Equatable {
        /// As libvirt writes it, `qemu:///system`.
        package var uri: String
        package var virtType: VirtTypeSetting
        /// A daemon that is silent for `keepAliveSeconds * (keepAliveCount + 1)` is given up: it is asked for a sign of
        /// life every `keepAliveSeconds`, and has `keepAliveCount` times as long to answer.
        package var keepAliveSeconds: Int
        package var keepAliveCount: Int
        /// The pauses between attempts to open the connection again.
        package var backoff: Backoff

        package init(
            uri: String = "qemu:///system", virtType: VirtTypeSetting = .auto, keepAliveSeconds: Int = 5,
            keepAliveCount: Int = 2, backoff: Backoff = Backoff()
        ) {
            precondition((1...3600).contains(keepAliveSeconds), "keep-alives come every 1 to 3600 s")
            precondition((1...100).contains(keepAliveCount), "1 to 100 keep-alives may be missed")
            self.uri = uri
            self.virtType = virtType
            self.keepAliveSeconds = keepAliveSeconds
            self.keepAliveCount = keepAliveCount
            self.backoff = backoff
        }
    }

    /// Calls that change a guest at once. Most take milliseconds; ending a guest takes a second or two.
    package static let threadLimit = 4
    /// Calls that only look at once. They take milliseconds.
    package static let lookThreadLimit = 2
    /// Calls that may wait for a thread of either kind; one more fails with ``HypervisorError/tooManyInFlight``.
    package static let waitingLimit = 256
    /// Lifecycle events kept for a slow consumer; beyond, the oldest are dropped.
    package static let eventLimit = 10_000

    private let settings: Settings
    private let connection: LibvirtConnection
    private let changes = WorkerPool(name: "libvirt-change", threadLimit: threadLimit, waitingLimit: waitingLimit)
    private let looks = WorkerPool(name: "libvirt-look", threadLimit: lookThreadLimit, waitingLimit: waitingLimit)
    private let eventSink: AsyncStream<GuestLifecycle>.Continuation
    package let lifecycleEvents: AsyncStream<GuestLifecycle>

    /// Begins to connect and returns at once; the first calls wait for the first attempt.
    package init(_ settings: Settings) {
        self.settings = settings
        let (events, sink) = AsyncStream.makeStream(
            of: GuestLifecycle.self, bufferingPolicy: .bufferingNewest(Self.eventLimit))
        lifecycleEvents = events
        eventSink = sink
        connection = LibvirtConnection(
            uri: settings.uri,
            keepAlive: LibvirtConnection.KeepAlive(
                interval: settings.keepAliveSeconds, count: settings.keepAliveCount),
            backoff: settings.backoff, reporter: LifecycleReporter(sink: sink))
    }

    package var isConnected: Bool { connection.isOpen }

    package func capabilities() async throws(HypervisorError) -> HypervisorCapabilities {
        let setting = settings.virtType
        return try await call(on: looks) { session throws(HypervisorError) in
            try session.hostCapabilities(try Self.choose(setting, session))
        }
    }

    package func define(_ guest: GuestDefinition) async throws(HypervisorError) {
        let setting = settings.virtType
        try await call(on: changes) { session throws(HypervisorError) in
            let choice = try Self.choose(setting, session)
            let document = DomainDocument(domainType: choice.name, architecture: try session.architecture())
            try session.define(guest.id, try document.render(guest))
        }
    }

    package func start(_ id: ServerID) async throws(HypervisorError) {
        try await callDomain(id, on: changes) { session, domain throws(HypervisorError) in
            try session.change(domain, id, toActive: true) { virDomainCreate($0) }
        }
    }

    package func requestShutdown(_ id: ServerID) async throws(HypervisorError) {
        try await callDomain(id, on: changes) { session, domain throws(HypervisorError) in
            // Without flags libvirt presses the ACPI power button, since our guests have no agent's channel.
            try session.change(domain, id, toActive: false) { virDomainShutdown($0) }
        }
    }

    package func requestReboot(_ id: ServerID) async throws(HypervisorError) {
        try await callDomain(id, on: changes) { session, domain throws(HypervisorError) in
            guard try session.isActive(domain, id) else { throw .invalid("guest \(id) does not run") }
            guard virDomainReboot(domain, 0) == 0 else { throw LibvirtFailure.last().error(about: id) }
        }
    }

    package func destroy(_ id: ServerID) async throws(HypervisorError) {
        try await callDomain(id, on: changes) { session, domain throws(HypervisorError) in
            try session.change(domain, id, toActive: false) { virDomainDestroy($0) }
        }
    }

    package func undefine(_ id: ServerID) async throws(HypervisorError) {
        do throws(HypervisorError) {
            try await callDomain(id, on: changes) { session, domain throws(HypervisorError) in
                guard try !session.isActive(domain, id) else { throw .invalid("guest \(id) still runs") }
                let flags =
                    VIR_DOMAIN_UNDEFINE_MANAGED_SAVE.rawValue | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA.rawValue
                guard virDomainUndefineFlags(domain, flags) == 0 else { throw LibvirtFailure.last().error(about: id) }
            }
        } catch .notFound {
            return
        }
    }

    package func state(of id: ServerID) async throws(HypervisorError) -> PowerState {
        try await callDomain(id, on: looks) { session, domain throws(HypervisorError) in
            try session.state(of: domain, id)
        }
    }

    package func guests() async throws(HypervisorError) -> [ServerID: PowerState] {
        try await call(on: looks) { session throws(HypervisorError) in try session.guests() }
    }

    package func statistics(of id: ServerID) async throws(HypervisorError) -> GuestStatistics {
        try await callDomain(id, on: looks) { session, domain throws(HypervisorError) in
            try session.statistics(of: domain, id)
        }
    }

    package func consoleLog(of id: ServerID, byteLimit: Int) async throws(HypervisorError) -> [UInt8] {
        try await callDomain(id, on: looks) { session, domain throws(HypervisorError) in
            guard let path = try session.facts(of: domain).consoleLogPath else { return [] }
            return try ConsoleLogFile.tail(path, byteLimit: byteLimit)
        }
    }

    package func vncAddress(of id: ServerID) async throws(HypervisorError) -> ConsoleAddress {
        try await callDomain(id, on: looks) { session, domain throws(HypervisorError) in
            guard let address = try session.facts(of: domain).vncAddress else {
                throw .invalid("guest \(id) has no screen now")
            }
            return address
        }
    }

    package func close() async {
        connection.close()
        await withCheckedContinuation { continuation in
            let admission = looks.submit { [connection] in
                connection.waitUntilEnded()
                continuation.resume()
            }
            if admission != .accepted { continuation.resume() }
        }
        changes.stop()
        looks.stop()
        eventSink.finish()
    }

    // MARK: Private

    private static func choose(
        _ setting: VirtTypeSetting, _ session: LibvirtSession
    ) throws(HypervisorError) -> VirtTypeChoice {
        guard session.driverName != "TEST" else {
            return VirtTypeChoice(name: "test", reason: "libvirt's test driver")
        }
        let architecture = try session.architecture()
        let offered = setting == .auto && session.offers(domainType: "kvm", architecture: architecture)
        // Unreadable facts offer nothing.
        let cpuinfo = (try? String(contentsOf: URL(filePath: "/proc/cpuinfo"), encoding: .utf8)) ?? ""
        return VirtualisationFacts(cpuinfo: cpuinfo, isOffered: offered) { module in
            access("/sys/module/\(module)", F_OK) == 0
        }.choose(setting)
    }

    private func callDomain<Value: Sendable>(
        _ id: ServerID, on pool: WorkerPool,
        _ body: @escaping @Sendable (LibvirtSession, OpaquePointer) throws(HypervisorError) -> Value
    ) async throws(HypervisorError) -> Value {
        try await call(on: pool) { session throws(HypervisorError) in
            try session.withDomain(id) { domain throws(HypervisorError) in try body(session, domain) }
        }
    }

    private func call<Value: Sendable>(
        on pool: WorkerPool, _ body: @escaping @Sendable (LibvirtSession) throws(HypervisorError) -> Value
    ) async throws(HypervisorError) -> Value {
        let ticket = Ticket<Value>()
        let outcome = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                ticket.wait(with: continuation)
                let admission = pool.submit { [connection] in
                    guard ticket.isWanted else { return }
                    do throws(HypervisorError) {
                        ticket.settle(.success(try connection.perform(body)))
                    } catch {
                        ticket.settle(.failure(error))
                    }
                }
                switch admission {
                case .accepted: break
                case .full: ticket.settle(.failure(.tooManyInFlight))
                case .stopped: ticket.settle(.failure(.disconnected("closed")))
                }
            }
        } onCancel: {
            ticket.settle(.failure(.cancelled))
        }
        return try outcome.get()
    }
}

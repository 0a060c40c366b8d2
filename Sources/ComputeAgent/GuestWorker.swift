package import CellProtocol
package import CloudModel
package import HypervisorDriver

/// Carries out a step's work on this host: preparation first, then the hypervisor. Every method may be repeated.
package struct GuestWorker: Sendable {
    /// How often a guest that was asked to power off is looked at.
    static let shutdownPollInterval: Duration = .milliseconds(500)

    private let driver: any HypervisorDriver
    private let preparation: any GuestPreparation
    private let clock: any Clock<Duration>

    package init(driver: any HypervisorDriver, preparation: any GuestPreparation, clock: any Clock<Duration>) {
        self.driver = driver
        self.preparation = preparation
        self.clock = clock
    }

    /// The guest's power state after the work.
    package func perform(_ work: AgentWork, on id: ServerID) async throws(GuestFailure) -> PowerState {
        switch work {
        case .spawn(let guest): try await spawn(guest)
        case .destroy: try await destroy(id)
        case .start(let guest): try await start(guest)
        case .stop(let grace): try await stop(id, grace: .seconds(grace))
        case .reboot(let guest, let hard, let grace): try await reboot(guest, hard: hard, grace: .seconds(grace))
        case .release(let ports): try await release(ports, of: id)
        }
    }

    private func spawn(_ guest: GuestSpecification) async throws(GuestFailure) -> PowerState {
        if try await power(of: guest.id) == .running { return .running }
        let definition = try await preparation.prepare(guest)
        try await run("define the guest") { () throws(HypervisorError) in try await driver.define(definition) }
        try await run("start the guest") { () throws(HypervisorError) in try await driver.start(guest.id) }
        return .running
    }

    private func destroy(_ id: ServerID) async throws(GuestFailure) -> PowerState {
        if try await power(of: id) != nil {
            try await run("end the guest") { () throws(HypervisorError) in try await driver.destroy(id) }
            try await run("forget the guest") { () throws(HypervisorError) in try await driver.undefine(id) }
        }
        try await preparation.remove(id)
        return .noState
    }

    private func release(_ ports: [PortID], of id: ServerID) async throws(GuestFailure) -> PowerState {
        try await preparation.release(ports)
        return try await power(of: id) ?? .noState
    }

    private func start(_ guest: GuestSpecification) async throws(GuestFailure) -> PowerState {
        if try await power(of: guest.id) == .running { return .running }
        let definition = try await preparation.restore(guest)
        try await run("define the guest") { () throws(HypervisorError) in try await driver.define(definition) }
        try await run("start the guest") { () throws(HypervisorError) in try await driver.start(guest.id) }
        return .running
    }

    private func stop(_ id: ServerID, grace: Duration) async throws(GuestFailure) -> PowerState {
        guard let power = try await power(of: id) else { throw missing(id) }
        guard power == .running else { return power }
        if grace > .zero {
            try await run("ask the guest to power off") { () throws(HypervisorError) in
                try await driver.requestShutdown(id)
            }
            var waited: Duration = .zero
            while waited < grace {
                if try await self.power(of: id) != .running { return .shutdown }
                try await pause()
                waited += Self.shutdownPollInterval
            }
        }
        try await run("end the guest") { () throws(HypervisorError) in try await driver.destroy(id) }
        return .shutdown
    }

    private func reboot(_ guest: GuestSpecification, hard: Bool, grace: Duration) async throws(GuestFailure)
        -> PowerState
    {
        if !hard, try await power(of: guest.id) == .running {
            _ = try await stop(guest.id, grace: grace)
        } else if try await power(of: guest.id) == .running {
            try await run("end the guest") { () throws(HypervisorError) in try await driver.destroy(guest.id) }
        }
        return try await start(guest)
    }

    /// Nil when the guest is not known here.
    private func power(of id: ServerID) async throws(GuestFailure) -> PowerState? {
        do throws(HypervisorError) {
            return try await driver.state(of: id)
        } catch .notFound {
            return nil
        } catch {
            throw Self.failure("look at the guest", error)
        }
    }

    private func pause() async throws(GuestFailure) {
        do {
            try await clock.sleep(for: Self.shutdownPollInterval)
        } catch {
            throw GuestFailure(reason: "The host is shutting down.", details: "cancelled", isPermanent: false)
        }
    }

    private func run(_ what: String, _ body: () async throws(HypervisorError) -> Void) async throws(GuestFailure) {
        do throws(HypervisorError) {
            try await body()
        } catch {
            throw Self.failure(what, error)
        }
    }

    private func missing(_ id: ServerID) -> GuestFailure {
        GuestFailure(reason: "The server is not on its host.", details: "no guest \(id) here", isPermanent: true)
    }

    private static func failure(_ what: String, _ error: HypervisorError) -> GuestFailure {
        let isPermanent =
            switch error {
            case .invalid, .notFound: true
            case .disconnected, .failed, .tooManyInFlight, .cancelled: false
            }
        return GuestFailure(
            reason: "The host could not \(what).", details: "\(what): \(error)", isPermanent: isPermanent)
    }
}

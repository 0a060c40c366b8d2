import CellProtocol
package import CloudModel
import FoundationEssentials
package import Logging
package import MessageBus
package import Primitives
import Synchronization

/// All hosts of one leaf: agents with their hypervisors that tell what they have, beat, and do at once what the conductor
/// asks. They speak on the leaf's virtual host as real agents do, each through its own queue and routing key; what they
/// leave out is the host below: disks, networks, guests.
package final class SimulatedHosts: Sendable {
    /// Commands in hand at once, of one host.
    static let prefetch = 16
    /// Hosts that share a connection. Real ones have one each.
    static let hostsPerConnection = 200
    static let publishTimeout: Duration = .seconds(30)
    /// Between two tries to receive.
    static let retryDelay: Duration = .seconds(1)

    package struct Host: Sendable {
        package let name: HostName
        package let provider: ProviderID

        package init(name: HostName, provider: ProviderID) {
            self.name = name
            self.provider = provider
        }
    }

    /// What every host has and does.
    package struct Kind: Sendable {
        package var vcpus = 64
        package var memoryMiB = 262_144
        package var diskGiB = 10_000
        package var availabilityZone = "nova"
        /// Time between two beats of a host.
        package var beat: Duration = .seconds(2)
        /// Time that a step takes.
        package var step: Duration = .milliseconds(20)

        package init() {}
    }

    private let hosts: [Host]
    private let kind: Kind
    private let connect: @Sendable () -> any MessageBus
    private let clock: any Clock<Duration>
    private let wallClock: any WallClock
    private let ids: any IDSource
    private let logger: Logger
    /// What the hypervisors run.
    private let guests: Mutex<[HostName: [ServerID: PowerState]]>
    private let answers = Mutex<[StepKey: StepResult.Outcome]>([:])

    /// - Parameters:
    ///   - guests: servers that run there from the beginning.
    ///   - connect: opens a connection to the leaf's virtual host.
    package init(
        _ hosts: [Host], kind: Kind, guests: [HostName: [ServerID]], connect: @escaping @Sendable () -> any MessageBus,
        clock: any Clock<Duration>, wallClock: any WallClock, ids: any IDSource, logger: Logger
    ) {
        self.hosts = hosts
        self.kind = kind
        self.connect = connect
        self.clock = clock
        self.wallClock = wallClock
        self.ids = ids
        self.logger = logger
        self.guests = Mutex(
            guests.mapValues { Dictionary($0.map { ($0, PowerState.running) }, uniquingKeysWith: { $1 }) })
    }

    /// Until cancelled.
    package func run() async {
        await withDiscardingTaskGroup { group in
            for start in stride(from: 0, to: hosts.count, by: Self.hostsPerConnection) {
                let some = hosts[start..<min(start + Self.hostsPerConnection, hosts.count)]
                let bus = connect()
                group.addTask { await self.beat(some, bus) }
                for host in some { group.addTask { await self.obey(host, bus) } }
            }
        }
    }

    // MARK: Telling

    /// The first beat of each host says what it has. Hosts of one leaf beat together, so that their conductor has one
    /// thing to write however many they are.
    private func beat(_ some: ArraySlice<Host>, _ bus: any MessageBus) async {
        guard await declareCell(bus) else { return }
        var isFirst = true
        repeat {
            for host in some { await tell(host, isFull: isFirst, bus) }
            isFirst = false
            do {
                try await clock.sleep(for: kind.beat)
            } catch {
                return
            }
        } while !Task.isCancelled
    }

    /// Who speaks before the conductor's queue is there speaks to nobody.
    /// - Returns: false when cancelled.
    private func declareCell(_ bus: any MessageBus) async -> Bool {
        while !Task.isCancelled {
            do {
                try await bus.declare(.cell)
                return true
            } catch {
                logger.debug("a simulated cell's broker is away", metadata: ["error": "\(error)"])
            }
            do {
                try await clock.sleep(for: Self.retryDelay)
            } catch {
                return false
            }
        }
        return false
    }

    private func tell(_ host: Host, isFull: Bool, _ bus: any MessageBus) async {
        let running = isFull ? guests.withLock { $0[host.name] ?? [:] } : [:]
        let beat = AgentHeartbeat(
            host: host.name, providerID: host.provider, availabilityZone: kind.availabilityZone,
            sentAt: wallClock.now(), inventory: isFull ? inventory(of: host.name) : nil,
            guests: isFull ? running.map { GuestReport(id: $0.key, power: $0.value) } : nil)
        await report(beat, AgentHeartbeat.kind, route: "heartbeat", of: host.name, bus)
    }

    private func inventory(of host: HostName) -> HostInventory {
        HostInventory(
            vcpus: kind.vcpus, memoryMiB: kind.memoryMiB, diskGiB: kind.diskGiB, hypervisorType: "simulated",
            hypervisorVersion: 1, hypervisorHostname: host.text, hostIP: "127.0.0.1", reservedMemoryMiB: 0,
            agentVersion: "simulated")
    }

    private func report(
        _ message: some Encodable, _ kind: String, route: String, of host: HostName, _ bus: any MessageBus
    ) async {
        do {
            let envelope = Envelope(
                messageID: ids.uuid(), requestID: "-", sender: "compute@\(host)", kind: kind,
                body: try JSONEncoder().encode(message))
            try await bus.publish(
                envelope, to: CellTopology.reportAddress(host: host.text, kind: route), mandatory: false,
                timeout: Self.publishTimeout)
        } catch {
            logger.debug("a simulated host can't report", metadata: ["host": "\(host)", "error": "\(error)"])
        }
    }

    // MARK: Obeying

    private func obey(_ host: Host, _ bus: any MessageBus) async {
        while !Task.isCancelled {
            do {
                try await bus.declare(.cell)
                try await bus.declare(.host(host.name.text))
                try await bus.consume(queue: CellTopology.hostQueue(host.name.text), prefetch: Self.prefetch) {
                    await self.take($0, host.name, bus)
                }
            } catch {
                logger.debug("a simulated host hears nothing", metadata: ["host": "\(host.name)", "error": "\(error)"])
            }
            do {
                try await clock.sleep(for: Self.retryDelay)
            } catch {
                return
            }
        }
    }

    private func take(_ delivery: BusDelivery, _ host: HostName, _ bus: any MessageBus) async -> Disposition {
        guard delivery.envelope.kind == AgentCommand.kind else { return .reject }
        do {
            let command = try JSONDecoder().decode(AgentCommand.self, from: delivery.envelope.body)
            // A repeat of what was done is answered from memory, as by an agent.
            if answers.withLock({ $0[command.key] }) == nil { try await clock.sleep(for: kind.step) }
            let outcome = StepResult.Outcome.succeeded(power: carryOut(command, on: host))
            answers.withLock { $0[command.key] = outcome }
            let result = StepResult(key: command.key, instanceID: command.instanceID, outcome: outcome)
            await report(result, StepResult.kind, route: "result", of: host, bus)
            return .acknowledge
        } catch {
            return .retry
        }
    }

    private func carryOut(_ command: AgentCommand, on host: HostName) -> PowerState {
        let power: PowerState =
            switch command.work {
            case .spawn, .start, .reboot: .running
            case .stop: .shutdown
            case .destroy, .release: .noState
            }
        guests.withLock { $0[host, default: [:]][command.instanceID] = command.work == .destroy ? nil : power }
        return power
    }
}

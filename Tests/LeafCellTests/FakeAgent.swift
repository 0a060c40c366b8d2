import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives
import Synchronization

/// A host that does as a test says: answers commands, remembers what it did, and beats.
final class FakeAgent: Sendable {
    /// What becomes of a command. Nil: no answer, as if it were still at it.
    typealias Script = @Sendable (AgentCommand) -> StepResult.Outcome?

    private struct State {
        var script: Script = FakeAgent.obedient
        var commands: [AgentCommand] = []
        var memory: [StepKey: StepResult.Outcome] = [:]
        var guests: [ServerID: PowerState] = [:]
        /// The epoch in which a guest was removed.
        var removed: [ServerID: Int] = [:]
        var isSilent = false
        /// Beside the guests.
        var heldServers: [ServerID] = []
        var heldPorts: [String] = []
        var answersTimes = 1
    }

    let name: HostName
    let provider: ProviderID = ids.next()
    private let bus: any MessageBus
    private let wallClock: TestWallClock
    private let state = Mutex(State())

    init(_ name: HostName, bus: any MessageBus, wallClock: TestWallClock) {
        self.name = name
        self.bus = bus
        self.wallClock = wallClock
    }

    static let obedient: Script = { command in
        switch command.work {
        case .spawn, .start, .reboot: .succeeded(power: .running)
        case .stop: .succeeded(power: .shutdown)
        case .destroy, .release: .succeeded(power: .noState)
        }
    }

    /// Every command that came, repeats too.
    var commands: [AgentCommand] { state.withLock { $0.commands } }
    var guests: [ServerID: PowerState] { state.withLock { $0.guests } }

    func obey(_ script: @escaping Script) { state.withLock { $0.script = script } }
    /// Sends each answer so often.
    func stutter(_ times: Int) { state.withLock { $0.answersTimes = times } }
    /// Neither beats nor answers, as a host that is down; what comes waits in its queue.
    func fallSilent(_ isSilent: Bool) { state.withLock { $0.isSilent = isSilent } }
    /// What is left here without a guest.
    func hold(servers: [ServerID] = [], ports: [String] = []) {
        state.withLock { ($0.heldServers, $0.heldPorts) = (servers, ports) }
    }
    func put(_ guest: ServerID, _ power: PowerState = .running) { state.withLock { $0.guests[guest] = power } }

    func commands(_ isWanted: (AgentWork) -> Bool) -> [AgentCommand] { commands.filter { isWanted($0.work) } }
    var spawns: [AgentCommand] { commands { if case .spawn = $0 { true } else { false } } }
    var destroys: [AgentCommand] { commands { $0 == .destroy } }

    /// Works until cancelled.
    func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { [self] in
                while !Task.isCancelled {
                    if state.withLock({ !$0.isSilent }) {
                        do { try await beat() } catch is BusError { /* The next one tells as much. */  }
                    }
                    try await ContinuousClock().sleep(for: .milliseconds(20))
                }
            }
            group.addTask { [self] in
                while !Task.isCancelled {
                    do {
                        try await bus.consume(queue: CellTopology.hostQueue(name.text), prefetch: 16) {
                            await self.take($0)
                        }
                    } catch {
                        try await ContinuousClock().sleep(for: .milliseconds(10))
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    func beat(isFull: Bool = true) async throws {
        let heartbeat = AgentHeartbeat(
            host: name, providerID: provider, availabilityZone: "zone-1", sentAt: wallClock.now(),
            inventory: isFull ? makeInventory() : nil,
            guests: isFull ? guests.map { GuestReport(id: $0.key, power: $0.value) } : nil)
        try await report(heartbeat, kind: AgentHeartbeat.kind, route: "heartbeat")
        let (servers, ports) = state.withLock { ($0.heldServers, $0.heldPorts) }
        let holdings = AgentHoldings(host: name, sentAt: heartbeat.sentAt, servers: servers, ports: ports)
        if isFull, !holdings.isEmpty {
            try await report(holdings, kind: AgentHoldings.kind, route: AgentHoldings.route)
        }
    }

    func report(_ message: some Encodable, kind: String, route: String, as host: HostName? = nil) async throws {
        let envelope = Envelope(
            messageID: ids.uuid(), requestID: "-", sender: "fake", kind: kind, body: try JSONEncoder().encode(message))
        try await bus.publish(
            envelope, to: CellTopology.reportAddress(host: (host ?? name).text, kind: route), mandatory: false,
            timeout: .seconds(5))
    }

    func answer(_ command: AgentCommand, _ outcome: StepResult.Outcome) async throws {
        try await report(
            StepResult(key: command.key, instanceID: command.instanceID, outcome: outcome), kind: StepResult.kind,
            route: "result")
    }

    private func take(_ delivery: BusDelivery) async -> Disposition {
        if state.withLock({ $0.isSilent }) { return .retry }
        do {
            if delivery.envelope.kind == AgentQuery.kind {
                let query = try JSONDecoder().decode(AgentQuery.self, from: delivery.envelope.body)
                try await answer(query)
                return .acknowledge
            }
            let command = try JSONDecoder().decode(AgentCommand.self, from: delivery.envelope.body)
            let (outcome, times) = state.withLock { state -> (StepResult.Outcome?, Int) in
                state.commands.append(command)
                // What was done is not done again, only answered.
                if let known = state.memory[command.key] { return (known, state.answersTimes) }
                let outcome = Self.overtaken(command, state) ?? state.script(command)
                if let outcome {
                    state.memory[command.key] = outcome
                    if case .release = command.work {
                        // It is of no guest.
                    } else if case .succeeded(let power) = outcome {
                        let isRemoval = command.work == .destroy
                        state.guests[command.instanceID] = isRemoval ? nil : power
                        if isRemoval { state.removed[command.instanceID] = command.epoch }
                    }
                }
                return (outcome, state.answersTimes)
            }
            if let outcome { for _ in 0..<times { try await answer(command, outcome) } }
            return .acknowledge
        } catch {
            return .retry
        }
    }

    /// What was sent before a guest was removed and comes after: an agent does not do it any more.
    private static func overtaken(_ command: AgentCommand, _ state: State) -> StepResult.Outcome? {
        switch command.work {
        case .destroy, .release: return nil
        case .spawn, .start, .stop, .reboot:
            guard let epoch = state.removed[command.instanceID], command.epoch <= epoch else { return nil }
            return .failed(reason: "Overtaken.", details: "stale", isPermanent: true)
        }
    }

    private func answer(_ query: AgentQuery) async throws {
        let answer: AgentAnswer.Answer =
            guests[query.instanceID] == nil ? .notFound : .consoleOutput("console of \(name)")
        let envelope = Envelope(
            messageID: ids.uuid(), requestID: "-", sender: "fake", kind: AgentAnswer.kind,
            body: try JSONEncoder().encode(AgentAnswer(queryID: query.queryID, answer: answer)))
        try await bus.publish(
            envelope, to: CellTopology.replyAddress(host: name.text, asker: query.asker), mandatory: false,
            timeout: .seconds(5))
    }
}

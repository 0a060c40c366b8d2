import CloudHarness
import Deployer
import FoundationEssentials
import Glibc
import Primitives

/// Does to a cloud's processes what a schedule says.
struct FaultInjector: Sendable {
    private static let limit = Duration.seconds(60)

    let ready: DevReady
    let clocks: MovedClocks
    /// Nil where nobody may mount them.
    let disks: SmallDisks?

    /// Begins and ends a fault.
    /// - Returns: when it ended. What is frozen is thawed then, a clock is right, a disk has room. One of our processes was killed or asked to end then, and what it
    ///   takes to start again is part of the recovery; a server takes connections again then.
    func inflict(_ fault: FaultSchedule.Fault) async throws -> ContinuousClock.Instant {
        let clock = ContinuousClock()
        try await clock.sleep(for: fault.delay)
        let name = try name(of: fault)
        let pids = try await living(name)
        switch fault.mode {
        case .frozen:
            for pid in pids { kill(pid, SIGSTOP) }
            do {
                try await clock.sleep(for: fault.length)
            } catch {
                for pid in pids { kill(pid, SIGCONT) }
                throw error
            }
            for pid in pids { kill(pid, SIGCONT) }
            return clock.now
        case .killed: for pid in pids { kill(pid, SIGKILL) }
        case .restarted: try askToEnd(pids, fault.victim)
        case .clockMoved:
            for pid in pids { try clocks.move(pid, by: fault.seconds) }
            try await clock.sleep(for: fault.length)
            for pid in pids { try clocks.move(pid, by: 0) }
            return clock.now
        case .diskFull:
            guard let disks else { throw HarnessFailure("there is no disk to fill") }
            try disks.fill(for: name)
            try await clock.sleep(for: fault.length)
            try disks.free(for: name)
            // A database may have ended itself.
            guard fault.victim == .database else { return clock.now }
            try await until("\(name) serves", within: Self.limit) {
                try !ready.pids(of: name).isEmpty && DevPorts.answers(ready.database.port)
            }
            return clock.now
        }
        switch fault.victim {
        case .api, .supervisor, .conductor, .agent: return clock.now
        case .broker, .database: return try await served(name, after: pids)
        }
    }

    func name(of fault: FaultSchedule.Fault) throws -> String {
        let prefix =
            switch fault.victim {
            case .api: "api"
            case .supervisor: "supervisor-"
            case .conductor: "conductor-"
            case .agent: "compute-"
            case .broker: "rabbitmq"
            case .database: "postgresql"
            }
        let names = ready.processes.map(\.name).filter { $0.hasPrefix(prefix) }.sorted()
        guard !names.isEmpty else { throw HarnessFailure("no process \(prefix)") }
        return names[fault.number % names.count]
    }

    /// One that was just killed may not be back yet.
    private func living(_ name: String) async throws -> Set<Int32> {
        var pids: Set<Int32> = []
        try await until("\(name) runs", within: Self.limit) {
            pids = try ready.pids(of: name)
            return !pids.isEmpty
        }
        return pids
    }

    private func askToEnd(_ pids: Set<Int32>, _ victim: FaultSchedule.Victim) throws {
        switch victim {
        // Asked to terminate it would wait until its clients have gone.
        case .database: for pid in pids where arguments(pid).contains("-D") { kill(pid, SIGINT) }
        case .broker: for pid in pids where arguments(pid).first?.hasSuffix("/beam.smp") == true { kill(pid, SIGTERM) }
        case .api, .supervisor, .conductor, .agent: for pid in pids { kill(pid, SIGTERM) }
        }
    }

    private func arguments(_ pid: Int32) -> [Substring] { ProcessTable.arguments(of: pid).split(separator: "\n") }

    /// When a server takes connections again: by another process than before.
    private func served(_ name: String, after old: Set<Int32>) async throws -> ContinuousClock.Instant {
        let port = name.hasPrefix("rabbitmq") ? ready.broker.port : ready.database.port
        try await until("\(name) serves again", within: Self.limit) {
            try !ready.pids(of: name).isEmpty && old.allSatisfy { !ProcessTable.isAlive($0) } && DevPorts.answers(port)
        }
        return ContinuousClock.now
    }
}

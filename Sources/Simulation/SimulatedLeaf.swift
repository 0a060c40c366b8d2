import CellProtocol
package import CloudModel
package import Conductor
import FoundationEssentials
package import Logging
package import MessageBus
package import Primitives
package import ServerLifecycle
package import Supervisor

/// A leaf cell of a laboratory: the real supervisor and conductor, and hosts that are simulated.
package struct SimulatedLeaf: Sendable {
    /// How the services of a leaf are set in a laboratory of many: one machine does the work of all their machines, so
    /// what each does at rest is stretched. What is measured does not wait for any of it.
    package struct Pace: Sendable {
        package var child = ChildSettings()
        /// Of branches towards the root.
        package var branch = ChildSettings.branch
        /// Of branches towards their leaves.
        package var parent = ParentSettings()
        package var conductor = ConductorSettings()
        package var hosts = SimulatedHosts.Kind()

        package init(cells: Int) {
            guard cells > Self.unstretched else { return }
            child.heartbeatInterval = .seconds(1)
            child.pulseInterval = .seconds(20)
            branch.pulseInterval = .seconds(5)
            parent.pollInterval = .seconds(10)
            parent.auditInterval = .seconds(600)
            child.publishInterval = .seconds(60)
            child.dutyDuration = .seconds(600)
            child.reconcileInterval = .seconds(600)
            conductor.tick = .seconds(2)
            conductor.sweepInterval = .seconds(60)
            conductor.leaseDuration = .seconds(180)
            conductor.hostTimeout = .seconds(1800)
            hosts.beat = .seconds(300)
        }

        /// So many leaves run as they would on machines of their own.
        package static let unstretched = 32
    }

    package let cell: CellPath
    private let store: any CellStore
    let supervisor: LeafSupervisor
    let conductor: ConductorService
    let hosts: SimulatedHosts
    private let death = Nudge()

    /// - Parameters:
    ///   - outside: the supervisor's connection, on which the parent speaks.
    ///   - inside: opens connections of the conductor and of hosts.
    ///   - hostClock: measures what hosts take for a step.
    package init(
        cell: CellPath, hosts: [SimulatedHosts.Host], guests: [HostName: [ServerID]], store: any CellStore,
        outside: any MessageBus, inside: @escaping @Sendable () -> any MessageBus, pace: Pace,
        clock: any Clock<Duration>, hostClock: any Clock<Duration>, wallClock: any WallClock, ids: any IDSource,
        version: String, logger: Logger
    ) {
        self.cell = cell
        let store = NudgedStore(store)
        self.store = store
        supervisor = LeafSupervisor(
            cell: cell, name: "supervisor-1", version: version, hosts: [], store: store, bus: outside, clock: clock,
            wallClock: wallClock, ids: ids, settings: pace.child, logger: logger)
        conductor = ConductorService(
            cell: cell, name: "conductor-1", store: store, bus: inside(), clock: clock, wallClock: wallClock, ids: ids,
            settings: pace.conductor, logger: logger)
        self.hosts = SimulatedHosts(
            hosts, kind: pace.hosts, guests: guests, connect: inside, clock: hostClock, wallClock: wallClock, ids: ids,
            logger: logger)
    }

    /// Until cancelled.
    package func run() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await runSupervisor() }
            group.addTask {
                // Ends with its cancellation, which is no failure.
                do { try await conductor.run() } catch {}
            }
            group.addTask { await hosts.run() }
            await group.waitForAll()
        }
    }

    /// How the leaf is, by its own word.
    package func pulse() async throws(CellStoreError) -> CellPulse { try await store.pulse() }

    /// Ends the supervisor at once and for good, as a kill would.
    package func killSupervisor() { death.signal() }

    private func runSupervisor() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                do { try await supervisor.run() } catch {}
            }
            group.addTask { await death.wait() }
            _ = await group.next()
            group.cancelAll()
        }
    }
}

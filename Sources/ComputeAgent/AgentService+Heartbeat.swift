import CellProtocol
import CloudModel
import FoundationEssentials
import HypervisorDriver
import Logging
import MessageBus
import Primitives

// That the host lives, what it has and what it runs.
extension AgentService {
    func beat() async throws {
        var count = 0
        while !Task.isCancelled {
            var isFull = count % Self.fullHeartbeatEvery == 0
            var heartbeat = AgentHeartbeat(
                host: identity.host, providerID: identity.providerID, availabilityZone: identity.availabilityZone,
                sentAt: wallClock.now(), inventory: nil, guests: nil)
            var rest: AgentHoldings?
            if isFull {
                do {
                    heartbeat.inventory = try await inventory()
                    // First what is here, then what runs: what comes meanwhile is no leftover.
                    let held = try await holdings()
                    let guests = try await driver.guests()
                    heartbeat.guests = guests.map { GuestReport(id: $0.key, power: $0.value) }
                    rest = leftovers(held, besides: Set(guests.keys), sentAt: heartbeat.sentAt)
                } catch {
                    logger.warning("the host can't be measured", metadata: ["error": "\(error)"])
                    isFull = false
                }
            }
            // A host whose hypervisor is away does not say that it lives: nothing could be done there.
            if driver.isConnected, count > 0 || isFull {
                let isSent = await publishOnce(heartbeat, kind: AgentHeartbeat.kind, route: "heartbeat")
                count = isSent || !isFull ? count + 1 : count
                if isSent, let rest {
                    _ = await publishOnce(rest, kind: AgentHoldings.kind, route: AgentHoldings.route)
                }
            }
            try await clock.sleep(for: Self.heartbeatInterval)
        }
    }

    /// Nil when there is nothing to ask about.
    private func leftovers(_ held: HostHoldings, besides guests: Set<ServerID>, sentAt: Date) -> AgentHoldings? {
        let rest = AgentHoldings(
            host: identity.host, sentAt: sentAt,
            servers: Array(held.servers.subtracting(guests).sorted().prefix(AgentHoldings.limit)),
            ports: Array(held.strayPorts.sorted().prefix(AgentHoldings.limit)))
        return rest.isEmpty ? nil : rest
    }

    private func publishOnce(_ message: some Encodable, kind: String, route: String) async -> Bool {
        do {
            let envelope = try makeEnvelope(message, kind: kind, requestID: "-", idempotencyKey: nil)
            let address = CellTopology.reportAddress(host: identity.host.text, kind: route)
            try await bus.publish(envelope, to: address, mandatory: false, timeout: Self.heartbeatInterval)
            return true
        } catch {
            logger.debug("not sent", metadata: ["bus.kind": "\(kind)", "error": "\(error)"])
            return false
        }
    }
}

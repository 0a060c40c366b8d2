import CellProtocol
package import CloudModel
package import FoundationEssentials
import Primitives
import Synchronization

// What hosts' words are compared with.
extension InMemoryCellStore {
    package func placed(on hosts: [HostName], or ids: [ServerID]) async throws(CellStoreError) -> [PlacedServer] {
        let hosts = Set(hosts)
        let ids = Set(ids)
        return state.withLock { state in
            state.servers.values
                .filter { server in
                    ids.contains(server.instance.id)
                        || (!server.isDeleted && server.instance.host.map(hosts.contains) == true)
                }
                .map { Self.place(of: $0, in: state) }
        }
    }

    private static func place(of server: StoredServer, in state: State) -> PlacedServer {
        let instance = server.instance
        return PlacedServer(
            id: instance.id, host: instance.host, state: instance.state, epoch: instance.epoch,
            updatedAt: instance.updatedAt, isFailedBuild: server.isFailedBuild && !isBusy(instance.id, in: state))
    }

    private static func isBusy(_ id: ServerID, in state: State) -> Bool {
        state.sagas.values.contains { $0.serverID == id && $0.state.isOpen }
    }

    package func ports(_ digits: [String]) async throws(CellStoreError) -> [String: PlacedPort] {
        let digits = Set(digits)
        return state.withLock { state in
            let servers = state.servers.values.sorted { $0.instance.updatedAt < $1.instance.updatedAt }
            return servers.reduce(into: [:]) { found, server in
                for interface in server.instance.interfaces {
                    let name = String(interface.portID.hex.prefix(AgentHoldings.portDigits))
                    guard digits.contains(name) else { continue }
                    found[name] = PlacedPort(port: interface.portID, server: Self.place(of: server, in: state))
                }
            }
        }
    }

    package func upkeep(before date: Date) async throws(CellStoreError) -> CellUpkeep {
        let now = wallClock.now()
        return state.withLock { state in
            let live = state.sagas.values.filter { $0.state == .live }
            let lost = state.servers.values.filter { server in
                !server.isDeleted && server.instance.host.map { state.hosts[$0]?.isUp != true } ?? false
            }
            let stranded = state.servers.values.map(\.instance).filter { instance in
                instance.state.task != nil && instance.state.vm != .deleted && instance.updatedAt < date
                    && !Self.isBusy(instance.id, in: state)
            }
            return CellUpkeep(
                liveSagas: live.count, parkedSagas: state.sagas.values.filter { $0.state == .parked }.count,
                oldestSaga: live.map(\.createdAt).min(),
                orphanedSagas: live.filter { saga in
                    saga.createdAt < date && saga.holder.map { $0.until < now } ?? true
                }.count,
                serversOnLostHosts: Dictionary(grouping: lost.compactMap(\.instance.host)) { $0 }.mapValues(\.count),
                stranded: Array(stranded.map(\.id).sorted().prefix(CellUpkeep.limit)))
        }
    }
}

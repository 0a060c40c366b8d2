import APITestSupport
import CellProtocol
import CellsAPI
import CloudModel
import Foundation
import Primitives
import Testing

/// The cells API over memory: two cells, one with two hosts and one with one.
struct CellsBench {
    static let base = "/cells/v1"

    let ids = CountingIDs()
    let clock = ManualWallClock()
    let cloud: InMemoryCloud
    let actions = InMemoryInstanceActionStore()
    let api: APIConversation

    init() {
        let clock = clock
        cloud = InMemoryCloud(networks: InMemoryNetworkStore(ids: ids), now: { clock.now() })
        for (name, cell) in [("n1", InMemoryCloud.north), ("n2", InMemoryCloud.north), ("s1", InMemoryCloud.south)] {
            cloud.addHost(HostName(name), in: cell, zone: cell.name, id: ids.next())
        }
        api = APIConversation(
            [
                CellsService(
                    CellsDependencies(
                        registry: cloud, cells: cloud, actions: actions, tokens: PeopleTokens(), wallClock: clock))
            ], ids: ids)
    }

    func path(_ rest: String) -> String { "\(Self.base)/\(rest)" }

    /// A server that runs on a host of a cell.
    func server(in cell: CellPath, on host: HostName) -> ServerID {
        let id: ServerID = ids.next()
        let flavor = Flavor(id: "1", name: "m1.tiny", vcpus: 1, memoryMiB: 512, diskGiB: 1)
        cloud.put(
            Instance(
                id: id, projectID: Person.annsProject, userID: Person.ann.userID, name: "web", hostname: "web",
                flavor: flavor, image: nil, reservationID: "r-1", createdAt: clock.now()), in: cell)
        cloud.activate(id, in: cell, host: host)
        return id
    }
}

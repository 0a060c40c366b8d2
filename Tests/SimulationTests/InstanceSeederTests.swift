import CellProtocol
import CloudModel
import FoundationEssentials
import Primitives
import ServerLifecycle
import Simulation
import Testing

@Suite struct InstanceSeederTests {
    private static func seeder(_ count: Int, cells: Int) -> InstanceSeeder {
        InstanceSeeder(
            count: count, cells: cells, project: "p", user: "u",
            flavor: Flavor(id: "1", name: "small", vcpus: 1, memoryMiB: 128, diskGiB: 1), zone: "nova",
            now: Date(timeIntervalSince1970: 1_800_000_000), ids: SystemIDSource())
    }

    @Test("every server is in one cell, the newest hundred in the first", arguments: [1, 3, 10, 1000])
    func shares(cells: Int) {
        let seeder = Self.seeder(5000, cells: cells)
        let shares = (0..<cells).map { seeder.share(of: $0) }
        #expect(shares.reduce(0, +) == 5000)
        #expect(shares[0] - InstanceSeeder.fewCount - (shares.last ?? 0) <= (cells == 1 ? 5000 : 1))
    }

    @Test("what is written runs, on hosts that are told of it, and the oldest go through the cells in turn")
    func writes() async throws {
        let cells = 4
        let seeder = Self.seeder(700, cells: cells)
        var servers: [(cell: Int, instance: Instance)] = []
        for cell in 0..<cells {
            let path = try #require(CellPath("/c\(cell)"))
            let store = InMemoryCellStore(cell: path, wallClock: SystemWallClock())
            let guests = try await seeder.seed(cell: cell, hosts: ["a", "b"], into: store)
            let found = try await store.inventory(after: nil, limit: 1000).servers
            #expect(found.count == seeder.share(of: cell))
            #expect(found.allSatisfy { $0.state.vm == .active && $0.launchedAt != nil })
            for (host, ids) in guests {
                #expect(Set(found.filter { $0.host == host }.map(\.id)) == Set(ids))
            }
            servers += found.map { (cell, $0) }
        }
        servers.sort { $0.instance.createdAt < $1.instance.createdAt }
        #expect(Set(servers.map(\.instance.id)).count == 700)
        #expect(servers.prefix(100).map(\.cell) == (0..<100).map { $0 % cells })
        #expect(servers.suffix(100).allSatisfy { $0.cell == 0 })
    }
}

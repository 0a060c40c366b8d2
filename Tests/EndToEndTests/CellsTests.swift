import CloudHarness
import CloudModel
import Deployer
import Foundation
import Primitives
import TestSupport
import Testing

extension EndToEndTests {
    /// The operator's verbs on a cloud that runs.
    @Suite struct CellsTests {
        private static func client() async throws -> CellsClient {
            let ready = try await SharedCloud.ready()
            let login = try CloudLogin(cloud: "cellwright-admin", file: ready.cloudsFile)
            return try await CellsClient.login(
                url: ready.url, user: login.user, password: Secret(login.password), project: login.project)
        }

        @Test func theTreeIsShownWithWhatEachCellHas() async throws {
            let client = try await Self.client()
            // A cell whose database took its time a moment ago is called slow.
            var cells: [CellReport] = []
            try await until("every cell is up") {
                cells = try await client.cells()
                return cells.allSatisfy { $0.health.state == "up" && $0.conductors.up == 1 }
            }
            let leaves = try await SharedCloud.ready().cells.filter { $0.path != "/" }
            #expect(cells.map(\.path) == leaves.map(\.path).sorted())
            for (cell, leaf) in zip(cells, leaves.sorted { $0.path < $1.path }) {
                #expect(cell.hosts.up == leaf.hosts.count)
                #expect(cell.versions.supervisor != nil && !cell.versions.agents.isEmpty)
            }
            let hosts = try await client.hosts()
            #expect(Set(hosts.map(\.name)) == Set(leaves.flatMap(\.hosts)))
        }

        @Test func aHostThatIsDrainedGetsNoServerAndShowsInTheComputeAPI() async throws {
            let client = try await Self.client()
            let admin = try await SharedCloud.admin()
            let host = try #require(try await client.hosts().last?.name)
            let drained = try await client.order(.draining, reason: "test", of: HostName(host))
            #expect(drained.placement.state == "draining" && drained.knownToCell == true)
            let services = try await admin.compute("2.69").expect(200, from: .get, "/os-services?host=\(host)")
            #expect(try services.list("services").first?["status"] == "disabled")
            #expect(try services.list("services").first?["disabled_reason"] == "test")
            let opened = try await client.order(.enabled, reason: nil, of: HostName(host))
            #expect(opened.placement.state == "enabled")
            let after = try await admin.compute("2.69").expect(200, from: .get, "/os-services?host=\(host)")
            #expect(try after.list("services").first?["status"] == "enabled")
        }

        @Test func whatIsNotThereIsSaidWithTheNearestName() async throws {
            let client = try await Self.client()
            let cell = try #require(try await client.cells().first?.path)
            let wrong = String(cell.dropLast())
            await #expect(throws: CellsFailure.unknown("cell \(wrong)", nearest: cell)) {
                _ = try await client.cell(try #require(CellPath(wrong)))
            }
            await #expect(throws: CellsFailure.self) { _ = try await client.host("no-such-host") }
            await #expect(throws: CellsFailure.unknown("server nobody", nearest: nil)) {
                _ = try await client.server("nobody")
            }
        }

        @Test func usersMayNotSeeTheTree() async throws {
            let ready = try await SharedCloud.ready()
            let login = try CloudLogin(cloud: "cellwright", file: ready.cloudsFile)
            let client = try await CellsClient.login(
                url: ready.url, user: login.user, password: Secret(login.password), project: login.project)
            await #expect(throws: CellsFailure.refused("Policy doesn't allow this action to be performed.")) {
                _ = try await client.cells()
            }
        }

        @Test func aServerIsLocatedByNameAndById() async throws {
            let client = try await Self.client()
            let tenant = try await Tenant.make()
            let id = try await tenant.create(SharedCloud.name("located"))
            try await tenant.wait(for: id, "ACTIVE")
            let found = try await client.server(id)
            #expect(found.cell != nil && found.host != nil)
            #expect(found.placements.last?.host == found.host)
            #expect(found.actions.contains { $0.action == "create" })
            #expect(try await client.server(found.name).id == id)
            try await tenant.delete([id])
            // It is gone by its cell's word before the root's directory says so.
            try await until("it is known to be gone") {
                let gone = try await client.server(id)
                return gone.status == "DELETED" && gone.deletedAt != nil
            }
        }
    }
}

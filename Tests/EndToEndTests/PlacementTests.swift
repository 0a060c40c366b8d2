import CloudHarness
import Deployer
import FoundationEssentials
import PostgresClient
import Primitives
import Testing

extension EndToEndTests {
    @Suite struct PlacementTests {
        @Test func serversSpreadOverTheHostsOfAllCellsAndLeaveNothing() async throws {
            let ready = try await SharedCloud.ready()
            let tenant = try await Tenant.make()
            try await Remains.waitUntilNothingIsClaimed()
            _ = try await tenant.create("spread", ["min_count": 8, "max_count": 8])
            let ids = try await tenant.waitForAll(8).map { try $0.text("id") }
            let hosts = try await self.hosts(of: ids)
            #expect(Dictionary(grouping: hosts.values) { $0 }.mapValues(\.count).values.sorted() == [2, 2, 2, 2])
            #expect(Set(hosts.values) == Set(ready.hosts))
            let claims = try await SharedCloud.query(
                try ready.root,
                """
                select p.name || ' ' || a.class || ' ' || sum(a.amount) from placement.allocations a
                join placement.providers p on p.id = a.provider_id
                where a.consumer_id = any(\(ids.compactMap { UUID(uuidString: $0) }))
                group by p.name, a.class order by 1
                """
            ).column(as: String.self)
            let expected = ready.hosts.flatMap { ["\($0) DISK_GB 2", "\($0) MEMORY_MB 256", "\($0) VCPU 2"] }
            #expect(claims == expected.sorted())
            try await tenant.delete(ids)
            try await Remains.waitUntilNone(of: ids)
        }

        @Test func aZoneKeepsItsServers() async throws {
            let ready = try await SharedCloud.ready()
            let tenant = try await Tenant.make()
            let zone: JSONValue = ["min_count": 4, "availability_zone": "south"]
            _ = try await tenant.create("zone", zone.object ?? [:])
            let ids = try await tenant.waitForAll(4).map { try $0.text("id") }
            for host in try await hosts(of: ids).values { #expect(try ready.leaf(of: host).path == "/south") }
            try await tenant.delete(ids)
        }

        @Test func whatFitsNowhereEndsInErrorAndIsDeletedWithoutATrace() async throws {
            let admin = try await SharedCloud.admin()
            let name = SharedCloud.name("huge")
            let flavor = try await admin.compute.expect(
                200, from: .post, "/flavors",
                ["flavor": ["name": .string(name), "ram": 1_048_576, "vcpus": 1, "disk": 1]])
            let flavorID = try flavor.text("flavor.id")
            let tenant = try await Tenant.make(quota: 2000)
            let id = try await tenant.create("huge", ["flavorRef": .string(flavorID)])
            let server = try await tenant.wait(for: id, "ERROR")
            #expect(try server.text("fault.message").hasPrefix("No valid host was found"))
            #expect(try server.integer("fault.code") == 500)
            try await tenant.delete([id])
            try await Remains.waitUntilNone(of: [id])
            try await admin.compute.expect(202, from: .delete, "/flavors/\(flavorID)")
        }

        /// Host by server.
        private func hosts(of ids: [String]) async throws -> [String: String] {
            let admin = try await SharedCloud.admin()
            let all = try await admin.compute.get("/servers/detail?all_tenants=1").list("servers")
            var hosts: [String: String] = [:]
            for server in all {
                let id = try server.text("id")
                if ids.contains(id) { hosts[id] = try server.text("OS-EXT-SRV-ATTR:host") }
            }
            return hosts
        }
    }
}

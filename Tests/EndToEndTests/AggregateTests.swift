import CloudHarness
import Deployer
import Primitives
import Testing

extension EndToEndTests {
    /// What administrators and users say of hosts, obeyed over all cells.
    @Suite struct AggregateTests {
        private struct Aggregate {
            let admin: APIClient
            let id: Int

            static func make(_ fields: [String: JSONValue]) async throws -> Aggregate {
                let admin = try await SharedCloud.admin().compute("2.81")
                let made = try await admin.expect(
                    200, from: .post, "/os-aggregates", ["aggregate": .object(fields)])
                return Aggregate(admin: admin, id: try made.integer("aggregate.id"))
            }

            func act(_ action: String, _ arguments: JSONValue, _ status: Int = 200) async throws {
                try await admin.expect(status, from: .post, "/os-aggregates/\(id)/action", [action: arguments])
            }

            /// Once the servers of earlier tests are gone, which keep their host's zone.
            func add(_ host: String) async throws {
                try await until("\(host) is in the aggregate") {
                    let body: JSONValue = ["add_host": ["host": .string(host)]]
                    return try await admin.send(.post, "/os-aggregates/\(id)/action", body).status == 200
                }
            }

            func dissolve(_ hosts: [String]) async throws {
                for host in hosts {
                    try await until("\(host) has left the aggregate") {
                        let body: JSONValue = ["remove_host": ["host": .string(host)]]
                        return try await admin.send(.post, "/os-aggregates/\(id)/action", body).status == 200
                    }
                }
                try await admin.expect(200, from: .delete, "/os-aggregates/\(id)")
            }
        }

        @Test func anAggregateOfTwoCellsIsAZone() async throws {
            let ready = try await SharedCloud.ready()
            let zone = SharedCloud.name("zone")
            let aggregate = try await Aggregate.make(["name": .string(zone), "availability_zone": .string(zone)])
            let hosts = ready.leaves.compactMap(\.hosts.first)
            #expect(hosts.count == 2)
            for host in hosts { try await aggregate.add(host) }
            let zones = try await aggregate.admin.get("/os-availability-zone/detail").list("availabilityZoneInfo")
            let shown = try #require(zones.first { $0["zoneName"]?.string == zone })
            #expect(Set(shown["hosts"]?.object?.keys ?? [:].keys) == Set(hosts))

            let tenant = try await Tenant.make()
            _ = try await tenant.create("in-zone", ["min_count": 4, "availability_zone": .string(zone)])
            let servers = try await tenant.waitForAll(4)
            for server in servers { #expect(server["OS-EXT-AZ:availability_zone"]?.string == zone) }
            let ids = try servers.map { try $0.text("id") }
            let places = try await Self.hosts(of: ids)
            #expect(Dictionary(grouping: places.values) { $0 }.mapValues(\.count) == [hosts[0]: 2, hosts[1]: 2])
            // Servers keep their zone, so their host does.
            try await aggregate.act("remove_host", ["host": .string(hosts[0])], 409)
            let refused = try await tenant.session.compute.expect(
                400, from: .post, "/servers", tenant.order("nowhere", ["availability_zone": "no-such-zone"]))
            #expect(try refused.text("badRequest.message") == "The requested availability zone is not available")
            try await tenant.delete(ids)
            try await aggregate.dissolve(hosts)
        }

        @Test func anAggregateIsKeptForAProject() async throws {
            let ready = try await SharedCloud.ready()
            let owner = try await Tenant.make()
            let other = try await Tenant.make()
            let aggregate = try await Aggregate.make(["name": .string(SharedCloud.name("kept"))])
            let hosts = ready.leaves.compactMap(\.hosts.first)
            for host in hosts { try await aggregate.add(host) }
            try await aggregate.act(
                "set_metadata", ["metadata": ["filter_tenant_id": .string(owner.session.projectID)]])
            _ = try await other.create("outside", ["min_count": 4])
            let outside = try await other.waitForAll(4).map { try $0.text("id") }
            #expect(Set(try await Self.hosts(of: outside).values).isDisjoint(with: hosts))
            _ = try await owner.create("inside", ["min_count": 4])
            let inside = try await owner.waitForAll(4).map { try $0.text("id") }
            #expect(!Set(try await Self.hosts(of: inside).values).isDisjoint(with: hosts))
            try await other.delete(outside)
            try await owner.delete(inside)
            try await aggregate.dissolve(hosts)
        }

        @Test func antiAffinityHoldsForCreatesAtOnce() async throws {
            let ready = try await SharedCloud.ready()
            let tenant = try await Tenant.make()
            let compute = tenant.session.compute("2.64")
            let made = try await compute.expect(
                200, from: .post, "/os-server-groups",
                ["server_group": ["name": "apart", "policy": "anti-affinity"]])
            let group = try made.text("server_group.id")
            let hints: JSONValue = ["group": .string(group)]
            let count = ready.hosts.count + 2
            let ids = try await withThrowingTaskGroup(of: String.self) { tasks in
                for index in 0..<count {
                    tasks.addTask {
                        var body = tenant.order("apart-\(index)").object ?? [:]
                        body["os:scheduler_hints"] = hints
                        return try await tenant.session.compute.expect(202, from: .post, "/servers", .object(body))
                            .text("server.id")
                    }
                }
                return try await tasks.reduce(into: [String]()) { $0.append($1) }
            }
            var servers: [JSONValue] = []
            try await until("all are built or refused") {
                servers = try await tenant.servers()
                return servers.allSatisfy { ["ACTIVE", "ERROR"].contains($0["status"]?.string) }
            }
            let running = try servers.filter { $0["status"]?.string == "ACTIVE" }.map { try $0.text("id") }
            let hosts = try await Self.hosts(of: running)
            #expect(Set(hosts.values) == Set(ready.hosts) && running.count == ready.hosts.count)
            for server in servers where server["status"]?.string == "ERROR" {
                #expect(try server.text("fault.message").hasPrefix("No valid host was found"))
            }
            let shown = try await compute.get("/os-server-groups/\(group)")
            #expect(Set(try shown.list("server_group.members").compactMap(\.string)) == Set(ids))
            let one = try await tenant.session.compute("2.71").expect(200, from: .get, "/servers/\(running[0])")
            #expect(one["server"]?["server_groups"] == [.string(group)])
            try await tenant.delete(ids)
            try await Remains.waitUntilNone(of: ids)
            let after = try await compute.get("/os-server-groups/\(group)")
            #expect(try after.list("server_group.members").isEmpty)
            try await compute.expect(204, from: .delete, "/os-server-groups/\(group)")
        }

        /// Host by server.
        private static func hosts(of ids: [String]) async throws -> [String: String] {
            let admin = try await SharedCloud.admin()
            let all = try await admin.compute.get("/servers/detail?all_tenants=1").list("servers")
            return try all.reduce(into: [:]) { hosts, server in
                let id = try server.text("id")
                if ids.contains(id) { hosts[id] = try server.text("OS-EXT-SRV-ATTR:host") }
            }
        }
    }
}

import CloudHarness
import FoundationEssentials
import Primitives
import Testing

extension EndToEndTests {
    /// What a user does from the first token to the last delete, with the calls that real clients send.
    @Suite struct ServerLifeTests {
        @Test func aServerLivesThroughEverythingThatItsUserAsks() async throws {
            let tenant = try await Tenant.make()
            let compute = tenant.session.compute
            let keyName = SharedCloud.name("key")
            let pair = try await compute.expect(
                200, from: .post, "/os-keypairs", ["keypair": ["name": .string(keyName)]])
            #expect(try pair.text("keypair.private_key").contains("PRIVATE KEY"))
            #expect(try pair.text("keypair.public_key").hasPrefix("ssh-"))

            let imageID = try await TinyImage.create(in: tenant.session, name: SharedCloud.name("image"))
            let id = try await tenant.create(
                "web", ["key_name": .string(keyName), "imageRef": .string(imageID), "metadata": ["role": "web"]])
            let server = try await tenant.wait(for: id, "ACTIVE")
            try await Self.checkShown(server, tenant, keyName: keyName, imageID: imageID)
            try await Self.checkLists(id, tenant)
            try await Self.checkMetadata(id, tenant)
            try await Self.checkPower(id, tenant)
            try await Self.checkConsole(id, tenant)

            try await tenant.delete([id])
            try await Remains.waitUntilNone(of: [id])
            try await compute.expect(202, 204, from: .delete, "/os-keypairs/\(keyName)")
            try await tenant.session.image.expect(204, from: .delete, "/images/\(imageID)")
        }

        /// The address is a port's of the tenant's network, and the port is the server's.
        private static func checkShown(
            _ server: JSONValue, _ tenant: Tenant, keyName: String, imageID: String
        ) async throws {
            let addresses = try server.list("addresses.\(tenant.networkName)")
            #expect(addresses.count == 1)
            let address = try addresses[0].text("addr")
            #expect(address.hasPrefix("10.99.0."))
            #expect(try addresses[0].text("OS-EXT-IPS:type") == "fixed")
            let id = try server.text("id")
            let ports = try await tenant.session.network.get("/ports?device_id=\(id)").list("ports")
            #expect(try ports.map { try $0.text("fixed_ips.0.ip_address") } == [address])
            #expect(try ports.first?.text("mac_address") == addresses[0].text("OS-EXT-IPS-MAC:mac_addr"))
            #expect(try server.text("key_name") == keyName)
            #expect(try server.text("image.id") == imageID)
            #expect(try server.text("flavor.id") == tenant.flavorID)
            #expect(try server.text("metadata.role") == "web")
            #expect(try server.text("OS-EXT-STS:vm_state") == "active")
            #expect(try server.integer("OS-EXT-STS:power_state") == 1)
            #expect(try server.text("tenant_id") == tenant.session.projectID)
            #expect(try server.text("user_id") == tenant.session.userID)
            // A zone of another test's aggregate, while that has the host.
            let zone = try server.text("OS-EXT-AZ:availability_zone")
            #expect(["north", "south"].contains(zone) || zone.hasPrefix("zone-"), "\(zone)")
            #expect(try server.text("hostId").count == 56)
        }

        /// `server list`, `server list --long` and what the SDK asks beside them.
        private static func checkLists(_ id: String, _ tenant: Tenant) async throws {
            let brief = try await tenant.session.compute.get("/servers").list("servers")
            #expect(try brief.map { try $0.text("id") } == [id])
            #expect(Set(brief[0].object?.keys ?? [:].keys) == ["id", "name", "links"])
            let newest = tenant.session.compute(CloudSession.newestMicroversion)
            let long = try await newest.get("/servers/detail?deleted=False&name=web").list("servers")
            let keys = Set(long.first?.object?.keys ?? [:].keys)
            let wanted: Set<String> = [
                "id", "name", "status", "addresses", "image", "flavor", "OS-EXT-STS:task_state",
                "OS-EXT-STS:power_state", "OS-EXT-AZ:availability_zone", "metadata", "tags", "locked",
                "pinned_availability_zone", "security_groups", "created", "updated",
            ]
            #expect(wanted.subtracting(keys).isEmpty)
            #expect(try long.first?.text("flavor.original_name") == "m1.nano")
            let none = try await newest.get("/servers/detail?name=no-such-server").list("servers")
            #expect(none.isEmpty)
        }

        private static func checkMetadata(_ id: String, _ tenant: Tenant) async throws {
            let compute = tenant.session.compute
            let merged = try await compute.expect(
                200, from: .post, "/servers/\(id)/metadata", ["metadata": ["tier": "1"]])
            #expect(merged.at("metadata") == ["role": "web", "tier": "1"])
            let replaced = try await compute.expect(
                200, from: .put, "/servers/\(id)/metadata", ["metadata": ["only": "this"]])
            #expect(replaced.at("metadata") == ["only": "this"])
            try await compute.expect(204, from: .delete, "/servers/\(id)/metadata/only")
            #expect(try await compute.get("/servers/\(id)/metadata").at("metadata") == [:])
            try await compute.expect(404, from: .delete, "/servers/\(id)/metadata/only")
            let renamed = try await compute.expect(
                200, from: .put, "/servers/\(id)", ["server": ["name": "web renamed"]])
            #expect(try renamed.text("server.name") == "web renamed")
            try await until("the list shows the new name") {
                try await tenant.servers().first?.text("name") == "web renamed"
            }
        }

        private static func checkPower(_ id: String, _ tenant: Tenant) async throws {
            _ = try await tenant.act(id, ["os-stop": .null])
            let stopped = try await tenant.wait(for: id, "SHUTOFF")
            #expect(try stopped.integer("OS-EXT-STS:power_state") == 4)
            let again = try await tenant.act(id, ["os-stop": .null], 409)
            #expect(
                try again.text("conflictingRequest.message")
                    == "Cannot 'stop' instance \(id) while it is in vm_state stopped")
            _ = try await tenant.act(id, ["reboot": ["type": "SOFT"]], 409)
            _ = try await tenant.act(id, ["os-start": .null])
            try await tenant.wait(for: id, "ACTIVE")
            for type in ["SOFT", "HARD"] as [JSONValue] {
                _ = try await tenant.act(id, ["reboot": ["type": type]])
                try await tenant.wait(for: id, "ACTIVE")
            }
        }

        private static func checkConsole(_ id: String, _ tenant: Tenant) async throws {
            let all = try await tenant.act(id, ["os-getConsoleOutput": [:]], 200).text("output")
            let lines = all.split(separator: "\n")
            // Boot, start and at least the soft reboot.
            #expect(lines.count >= 3 && lines.allSatisfy { $0.contains("ready") }, "\(all)")
            let last = try await tenant.act(id, ["os-getConsoleOutput": ["length": 1]], 200).text("output")
            #expect(last.split(separator: "\n").count == 1)
        }

        @Test func aServerIsDeletedWhileItIsBuiltAndWhileItIsStopped() async throws {
            let tenant = try await Tenant.make()
            let stopped = try await tenant.create("stopped")
            try await tenant.wait(for: stopped, "ACTIVE")
            _ = try await tenant.act(stopped, ["os-stop": .null])
            try await tenant.wait(for: stopped, "SHUTOFF")
            var ids = [stopped]
            for index in 0..<6 { ids.append(try await tenant.create("young-\(index)")) }
            try await tenant.delete(ids)
            try await Remains.waitUntilNone(of: ids)
        }

        @Test func onlyItsOwnProjectSeesAServer() async throws {
            let (tenant, stranger) = (try await Tenant.make(), try await Tenant.make())
            let id = try await tenant.create("private")
            try await tenant.wait(for: id, "ACTIVE")
            for (method, path) in [
                (APIClient.Method.get, ""), (.delete, ""), (.get, "/metadata"), (.get, "/os-interface"),
            ] {
                try await stranger.session.compute.expect(404, from: method, "/servers/\(id)\(path)")
            }
            _ = try await stranger.act(id, ["os-stop": .null], 404)
            #expect(try await stranger.servers().isEmpty)
            #expect(try await tenant.show(id)["status"] == "ACTIVE")
            let admin = try await SharedCloud.admin()
            let all = try await admin.compute.get("/servers/detail?all_tenants=1").list("servers")
            let shown = try #require(all.first { $0["id"]?.string == id })
            #expect(try await SharedCloud.ready().hosts.contains(try shown.text("OS-EXT-SRV-ATTR:host")))
            try await tenant.delete([id])
        }

        /// A list by pages shows each server once, in order.
        @Test func pagesHoldEveryServerOnce() async throws {
            let tenant = try await Tenant.make()
            let order = ["min_count": 5, "max_count": 5] as [String: JSONValue]
            _ = try await tenant.create("page", order)
            let ids = try await tenant.waitForAll(5).map { try $0.text("id") }
            var seen: [String] = []
            var path = "/servers?limit=2"
            while seen.count < 10 {
                let page = try await tenant.session.compute.get(path)
                seen += try page.list("servers").map { try $0.text("id") }
                guard let next = page.at("servers_links.0.href")?.string else { break }
                #expect(next.hasPrefix(tenant.session.compute.url))
                path = String(next.dropFirst(tenant.session.compute.url.count))
            }
            #expect(seen == ids)
            try await tenant.delete(ids)
        }
    }
}

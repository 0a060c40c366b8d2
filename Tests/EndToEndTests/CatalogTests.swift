import CloudHarness
import Deployer
import Primitives
import Testing

extension EndToEndTests {
    /// What clients read before and beside servers.
    @Suite struct CatalogTests {
        @Test func aTokenNamesEveryServiceAndEachAnswersAtItsAddress() async throws {
            let ready = try await SharedCloud.ready()
            let login = try CloudLogin(cloud: "cellwright", file: ready.cloudsFile)
            let answer = try await APIClient(url: login.authURL).send(.post, "/auth/tokens", login.request)
            #expect(answer.status == 201)
            let catalog = try answer.json().list("token.catalog")
            #expect(
                Set(try catalog.map { try $0.text("type") }).isSuperset(of: ["identity", "compute", "image", "network"])
            )
            for service in catalog {
                for endpoint in try service.list("endpoints") {
                    #expect(try endpoint.text("region_id") == ready.region)
                    let url = try endpoint.text("url")
                    #expect(url.hasPrefix(ready.url))
                    let found = try await APIClient(url: url).send(.get, "/")
                    #expect([200, 300].contains(found.status), "\(url): \(found.status)")
                }
            }
        }

        @Test func aRevokedTokenIsRefusedEverywhere() async throws {
            let ready = try await SharedCloud.ready()
            let session = try await CloudSession.open(CloudLogin(cloud: "cellwright", file: ready.cloudsFile))
            try await session.compute.expect(200, from: .get, "/servers")
            try await session.identity.with("x-subject-token", session.token).expect(204, from: .delete, "/auth/tokens")
            try await until("the token is refused") {
                let answers = [
                    try await session.compute.send(.get, "/servers"), try await session.network.send(.get, "/networks"),
                    try await session.image.send(.get, "/images"),
                ]
                return answers.allSatisfy { $0.status == 401 }
            }
        }

        @Test func operatorsSeeServicesHypervisorsAndZones() async throws {
            let ready = try await SharedCloud.ready()
            let compute = try await SharedCloud.admin().compute(CloudSession.newestMicroversion)
            var services: [JSONValue] = []
            try await until("every service is up") {
                services = try await compute.get("/os-services").list("services")
                return services.allSatisfy { $0["state"] == "up" }
            }
            func hosts(_ binary: String) -> [String] {
                services.filter { $0["binary"]?.string == binary }.compactMap { $0["host"]?.string }.sorted()
            }
            #expect(hosts("nova-compute") == ready.hosts.sorted())
            #expect(hosts("nova-conductor") == ready.leaves.map { String($0.path.dropFirst()) }.sorted())
            #expect(hosts("nova-scheduler").count == 1)

            let hypervisors = try await compute.get("/os-hypervisors/detail").list("hypervisors")
            #expect(try hypervisors.map { try $0.text("hypervisor_hostname") }.sorted() == ready.hosts.sorted())
            #expect(hypervisors.allSatisfy { $0["state"] == "up" && $0["status"] == "enabled" })

            let zones = try await compute.get("/os-availability-zone/detail").list("availabilityZoneInfo")
            for cell in ready.leaves {
                let zone = try #require(zones.first { "/\($0["zoneName"]?.string ?? "")" == cell.path })
                #expect(Set(zone["hosts"]?.object?.keys ?? [:].keys) == Set(cell.hosts))
            }
        }

        @Test func limitsCountWhatAProjectHas() async throws {
            let tenant = try await Tenant.make(quota: 3)
            let ids = [try await tenant.create("one"), try await tenant.create("two")]
            let limits = try await tenant.session.compute.get("/limits")
            #expect(try limits.integer("limits.absolute.maxTotalInstances") == 3)
            #expect(try limits.integer("limits.absolute.totalInstancesUsed") == 2)
            #expect(try limits.integer("limits.absolute.totalRAMUsed") == 256)
            let order = tenant.order("over", ["min_count": 2])
            let refused = try await tenant.session.compute.expect(403, from: .post, "/servers", order)
            #expect(try refused.text("forbidden.message").hasPrefix("Quota exceeded for instances"))
            #expect(try await tenant.servers().count == 2)
            try await tenant.delete(ids)
            // They are gone by their cell's word; the root counts them until its event says so.
            try await until("nothing counts") {
                try await tenant.session.compute.get("/limits").integer("limits.absolute.totalInstancesUsed") == 0
            }
        }

        @Test func aDisabledHostGetsNoServers() async throws {
            let ready = try await SharedCloud.ready()
            let compute = try await SharedCloud.admin().compute(CloudSession.newestMicroversion)
            let host = try #require(ready.hosts.first)
            func set(_ status: String) async throws {
                let services = try await compute.get("/os-services?binary=nova-compute&host=\(host)").list("services")
                let id = try #require(services.first).text("id")
                let answer = try await compute.expect(
                    200, from: .put, "/os-services/\(id)", ["status": .string(status)])
                #expect(try answer.text("service.status") == status)
                try await until("\(host) is \(status)") {
                    let all = try await compute.get("/os-hypervisors").list("hypervisors")
                    return all.contains {
                        $0["hypervisor_hostname"]?.string == host && $0["status"]?.string == status
                    }
                }
            }
            try await set("disabled")
            let tenant = try await Tenant.make()
            _ = try await tenant.create("elsewhere", ["min_count": 4])
            let ids = try await tenant.waitForAll(4).map { try $0.text("id") }
            let all = try await compute.get("/servers/detail?all_tenants=1&host=\(host)").list("servers")
            #expect(all.isEmpty)
            try await set("enabled")
            try await tenant.delete(ids)
        }
    }
}

import APITestSupport
import CloudModel
import Primitives
import Testing

@Suite struct OperatorTests {
    @Test func servicesAreListed() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-services")
        #expect(try await bench.api.get(path).status == 403)
        let list = try await bench.api.get(path, as: .root, version: 69)
        #expect(
            list.names("services", "binary") == [
                "nova-scheduler", "nova-conductor", "nova-conductor", "nova-compute", "nova-compute",
            ])
        #expect(list.names("services", "host") == ["root", "north", "south", "n1", "s1"])
        #expect(list.names("services", "state") == Array(repeating: "up", count: 5))
        #expect(list["services", "3", "zone"] == "north")
        #expect(list["services", "3", "forced_down"] == false)
        #expect(list["services", "3", "id"]?.string?.count == 36)
        let old = try await bench.api.get(path, as: .root)
        #expect(old["services", "3", "id"]?.integer != nil)
        #expect(old["services", "3", "forced_down"] == nil)
        let one = try await bench.api.get("\(path)?binary=nova-compute&host=n1", as: .root, version: 69)
        #expect(one.names("services", "host") == ["n1"])
        #expect(try await bench.api.get("\(path)?x=1", as: .root, version: 75).status == 400)
    }

    @Test func aHostIsDisabledAndEnabled() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-services")
        let list = try await bench.api.get("\(path)?host=n1", as: .root, version: 69)
        let id = try #require(list["services", "0", "id"]?.string)
        let disable: JSONValue = ["status": "disabled", "disabled_reason": "repair"]
        let disabled = try await bench.api.put("\(path)/\(id)", disable, as: .root, version: 69)
        #expect(disabled["service", "status"] == "disabled")
        #expect(disabled["service", "disabled_reason"] == "repair")
        let zones = try await bench.api.get(bench.path("os-availability-zone"))
        #expect(zones["availabilityZoneInfo", "0", "zoneState", "available"] == false)
        #expect(try await bench.api.put("\(path)/\(id)", disable, version: 69).status == 403)
        let enabled = try await bench.api.put("\(path)/\(id)", ["status": "enabled"], as: .root, version: 69)
        #expect(enabled["service", "status"] == "enabled")
        for (body, status) in [
            (["status": "enabled", "disabled_reason": "x"], 400), (["status": "odd"], 400), (.object([:]), 400),
            (["forced_down": true], 400), (["disabled_reason": "x"], 400), (["colour": "red"], 400),
        ] as [(JSONValue, Int)] {
            #expect(try await bench.api.put("\(path)/\(id)", body, as: .root, version: 69).status == status)
        }
        #expect(try await bench.api.put("\(path)/x", disable, as: .root, version: 69).status == 400)
        let nobody = "22222222-2222-4222-8222-222222222222"
        #expect(try await bench.api.put("\(path)/\(nobody)", disable, as: .root, version: 69).status == 404)
        let all = try await bench.api.get(path, as: .root, version: 69)
        let scheduler = try #require(all["services", "0", "id"]?.string)
        #expect(try await bench.api.put("\(path)/\(scheduler)", disable, as: .root, version: 69).status == 400)
    }

    @Test func olderClientsNameTheHost() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-services")
        let host: JSONValue = ["host": "n1", "binary": "nova-compute"]
        let disabled = try await bench.api.put("\(path)/disable", host, as: .root)
        #expect(disabled["service", "status"] == "disabled")
        let reason: JSONValue = ["host": "n1", "binary": "nova-compute", "disabled_reason": "r"]
        let logged = try await bench.api.put("\(path)/disable-log-reason", reason, as: .root)
        #expect(logged["service", "disabled_reason"] == "r")
        #expect(try await bench.api.put("\(path)/enable", host, as: .root).status == 200)
        #expect(try await bench.api.put("\(path)/enable", reason, as: .root).status == 400)
        #expect(try await bench.api.put("\(path)/dance", host, as: .root).status == 404)
        #expect(
            try await bench.api.put("\(path)/enable", ["host": "n9", "binary": "nova-compute"], as: .root).status == 404
        )
        #expect(try await bench.api.get(bench.path("os-hosts"), as: .root).names("hosts", "host_name").contains("n1"))
    }

    @Test func aCellThatIsDownShowsInItsServices() async throws {
        let bench = try await ComputeBench()
        bench.cloud.setDown(InMemoryCloud.south)
        let new = try await bench.api.get(bench.path("os-services"), as: .root, version: 69)
        #expect(new["services", "4"] == ["binary": "nova-compute", "host": "s1", "status": "UNKNOWN"])
        let old = try await bench.api.get(bench.path("os-services"), as: .root, version: 68)
        #expect(old["services", "4", "state"] == "down")
    }

    @Test func hypervisorsAreShown() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-hypervisors")
        #expect(try await bench.api.get(path).status == 403)
        let list = try await bench.api.get(path, as: .root, version: 88)
        #expect(list.names("hypervisors", "hypervisor_hostname").sorted() == ["n1.example", "s1.example"])
        let id = try #require(list["hypervisors", "0", "id"]?.string)
        let one = try await bench.api.get("\(path)/\(id)", as: .root, version: 88)
        #expect(one["hypervisor", "hypervisor_type"] == "QEMU")
        #expect(one["hypervisor", "uptime"] == .null)
        #expect(one["hypervisor", "vcpus"] == nil)
        #expect(one["hypervisor", "service", "host"] != nil)
        let older = try await bench.api.get("\(path)/detail", as: .root, version: 87)
        #expect(older["hypervisors", "0", "vcpus"] == 4)
        #expect(older["hypervisors", "0", "free_ram_mb"] == 7680)
        #expect(older["hypervisors", "0", "cpu_info", "arch"] == "x86_64")
        let oldest = try await bench.api.get("\(path)/detail", as: .root)
        let number = try #require(oldest["hypervisors", "0", "id"]?.integer)
        #expect(oldest["hypervisors", "0", "cpu_info"]?.string?.contains("x86_64") == true)
        #expect(try await bench.api.get("\(path)/\(number)", as: .root).status == 200)
        #expect(try await bench.api.get("\(path)/n1.example", as: .root, version: 88).status == 404)
        let found = try await bench.api.get("\(path)?hypervisor_hostname_pattern=n1", as: .root, version: 53)
        #expect(found.names("hypervisors", "hypervisor_hostname") == ["n1.example"])
        #expect(try await bench.api.get("\(path)?hypervisor_hostname_pattern=zz", as: .root, version: 53).status == 404)
        #expect(try await bench.api.get("\(path)/statistics", as: .root)["hypervisor_statistics", "count"] == 2)
        #expect(try await bench.api.get("\(path)/statistics", as: .root, version: 88).status == 404)
        let page = try await bench.api.get("\(path)?limit=1", as: .root, version: 88)
        #expect(page["hypervisors_links", "0", "rel"] == "next")
        _ = try await bench.active()
        let busy = try await bench.api.get(
            "\(path)?with_servers=true&hypervisor_hostname_pattern=n1", as: .root, version: 88)
        #expect(busy["hypervisors", "0", "servers"]?.array?.count == 1)
    }

    @Test func zonesAreWhatHostsAreIn() async throws {
        let bench = try await ComputeBench()
        let zones = try await bench.api.get(bench.path("os-availability-zone"))
        #expect(zones.names("availabilityZoneInfo", "zoneName") == ["north", "south"])
        #expect(zones["availabilityZoneInfo", "0", "hosts"] == .null)
        #expect(try await bench.api.get(bench.path("os-availability-zone/detail")).status == 403)
        let detail = try await bench.api.get(bench.path("os-availability-zone/detail"), as: .root)
        #expect(detail.names("availabilityZoneInfo", "zoneName") == ["internal", "north", "south"])
        #expect(detail["availabilityZoneInfo", "1", "hosts", "n1", "nova-compute", "available"] == true)
    }

    @Test func limitsAndQuotasSayWhatIsUsed() async throws {
        let bench = try await ComputeBench()
        _ = try await bench.active()
        let limits = try await bench.api.get(bench.path("limits?reserved=1"))
        #expect(limits["limits", "absolute", "totalInstancesUsed"] == 1)
        #expect(limits["limits", "absolute", "maxTotalCores"] == 20)
        #expect(limits["limits", "absolute", "maxImageMeta"] == 128)
        #expect(
            try await bench.api.get(bench.path("limits"), version: 57)["limits", "absolute", "maxPersonality"] == nil)
        #expect(try await bench.api.get(bench.path("limits?tenant_id=x")).status == 403)
        let path = bench.path("os-quota-sets/\(Person.annsProject)")
        #expect(try await bench.api.get(path, version: 57)["quota_set", "ram"] == 51_200)
        #expect(try await bench.api.get(path, version: 57)["quota_set", "floating_ips"] == nil)
        #expect(try await bench.api.get(path)["quota_set", "floating_ips"] == -1)
        #expect(try await bench.api.get(path, as: .bob).status == 403)
        let detail = try await bench.api.get("\(path)/detail", version: 57)
        #expect(detail["quota_set", "cores"] == ["limit": 20, "in_use": 1, "reserved": 0])
        #expect(try await bench.api.put(path, ["quota_set": ["cores": 1]], version: 57).status == 403)
        let set = try await bench.api.put(path, ["quota_set": ["cores": "1"]], as: .root, version: 57)
        #expect(set["quota_set", "cores"] == 1)
        #expect(try await bench.create().status == 403)
        #expect(try await bench.api.put(path, ["quota_set": ["cores": 0]], as: .root, version: 57).status == 400)
        let forced: JSONValue = ["quota_set": ["cores": 0, "force": true]]
        #expect(try await bench.api.put(path, forced, as: .root, version: 57).status == 200)
        #expect(try await bench.api.put(path, ["quota_set": ["colours": 1]], as: .root, version: 57).status == 400)
        #expect(try await bench.api.delete(path, as: .root).status == 202)
        #expect(try await bench.api.get(path, version: 57)["quota_set", "cores"] == 20)
        #expect(try await bench.api.get("\(path)/defaults", version: 57)["quota_set", "instances"] == 10)
        let classes = bench.path("os-quota-class-sets/default")
        #expect(try await bench.api.get(classes, as: .root, version: 49)["quota_class_set", "server_groups"] == nil)
        #expect(try await bench.api.get(classes, as: .root, version: 50)["quota_class_set", "server_groups"] == 10)
    }

    @Test func usageCountsHours() async throws {
        let bench = try await ComputeBench()
        _ = try await bench.active(["flavorRef": "2"])
        bench.clock.advance(7200)
        let path = bench.path("os-simple-tenant-usage/\(Person.annsProject)")
        let usage = try await bench.api.get(path, version: 40)
        #expect(usage["tenant_usage", "total_hours"] == .number(2))
        #expect(usage["tenant_usage", "total_vcpus_usage"] == .number(4))
        #expect(usage["tenant_usage", "server_usages", "0", "state"] == "active")
        #expect(usage["tenant_usage", "server_usages", "0", "ended_at"] == .null)
        let future = try await bench.api.get("\(path)?start=2026-01-01&end=2036-01-01T00:00:00", version: 40)
        #expect(future["tenant_usage", "total_hours"] == .number(2), "what has not happened is not counted")
        let all = try await bench.api.get(bench.path("os-simple-tenant-usage?detailed=1"), as: .root, version: 75)
        #expect(all["tenant_usages", "0", "tenant_id"]?.string == Person.annsProject.text)
        #expect(try await bench.api.get(bench.path("os-simple-tenant-usage")).status == 403)
        #expect(try await bench.api.get("\(path)?start=x").status == 400)
        #expect(try await bench.api.get("\(path)?start=2026-01-02&end=2026-01-01").status == 400)
        #expect(try await bench.api.get(path, as: .bob).status == 403)
    }

    @Test func whatThereIsNoneOfIsEmpty() async throws {
        let bench = try await ComputeBench()
        #expect(try await bench.api.get(bench.path("os-aggregates"), as: .root)["aggregates"] == [])
        #expect(try await bench.api.get(bench.path("os-aggregates/1"), as: .root).status == 404)
        #expect(try await bench.api.get(bench.path("os-server-groups"))["server_groups"] == [])
        #expect(try await bench.api.get(bench.path("os-migrations"), as: .root)["migrations"] == [])
        #expect(try await bench.api.get(bench.path("extensions")).names("extensions", "alias").contains("os-keypairs"))
        #expect(try await bench.api.get(bench.path("extensions/os-keypairs"))["extension", "alias"] == "os-keypairs")
        #expect(try await bench.api.get(bench.path("extensions/nothing")).status == 404)
    }
}

import APITestSupport
import CloudModel
import Primitives
import Testing

@Suite struct QuotaTests {
    @Test(arguments: ComputeQuotaContract.cases)
    func theStandInKeepsTheContract(of test: ComputeQuotaContract.Case) async throws {
        try await test.run(InMemoryComputeQuotaStore())
    }

    private static let limits = [
        "instances", "cores", "ram", "key_pairs", "metadata_items", "server_groups", "server_group_members",
    ]
    private static let network = ["fixed_ips", "floating_ips", "security_groups", "security_group_rules"]
    private static let files = ["injected_files", "injected_file_content_bytes", "injected_file_path_bytes"]

    private func keys(_ answer: Answer, _ kind: String) -> Set<String> {
        Set(answer[kind]?.object?.keys.filter { $0 != "id" } ?? [])
    }

    @Test("limits of networks go at 2.36, those of files at 2.57", arguments: ["", "/detail", "/defaults"])
    func keysVanish(rest: String) async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-quota-sets/\(Person.annsProject)\(rest)")
        func keys(_ version: Int) async throws -> Set<String> {
            let answer = try await bench.api.get(path, version: version)
            #expect(answer["quota_set", "id"]?.string == Person.annsProject.text)
            return self.keys(answer, "quota_set")
        }
        #expect(try await keys(35) == Set(Self.limits + Self.network + Self.files))
        #expect(try await keys(36) == Set(Self.limits + Self.files))
        #expect(try await keys(56) == Set(Self.limits + Self.files))
        #expect(try await keys(57) == Set(Self.limits))
    }

    @Test func classesChangeAtVersionsOfTheirOwn() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-quota-class-sets/default")
        func keys(_ version: Int) async throws -> Set<String> {
            self.keys(try await bench.api.get(path, as: .root, version: version), "quota_class_set")
        }
        let groups = ["server_groups", "server_group_members"]
        #expect(try await keys(49) == Set(Self.limits + Self.network + Self.files).subtracting(groups))
        #expect(try await keys(50) == Set(Self.limits + Self.files))
        #expect(try await keys(57) == Set(Self.limits))
        #expect(try await bench.api.get(path).status == 403)
        #expect(try await bench.api.put(path, ["quota_class_set": ["cores": 1]]).status == 403)
        #expect(try await bench.api.put(path, ["quota_class_set": ["x": 1]], as: .root).status == 400)
        let ips: JSONValue = ["quota_class_set": ["floating_ips": 1]]
        #expect(try await bench.api.put(path, ips, as: .root, version: 49).status == 200)
        #expect(try await bench.api.put(path, ips, as: .root, version: 50).status == 400)
        #expect(try await bench.api.get("\(path)?x=1", as: .root, version: 102).status == 400)
    }

    /// As Tempest does: all that is shown is set to something else, and shown so.
    @Test("every limit that a version shows can be set", arguments: [1, 36, 50, 57])
    func everyLimitIsSet(version: Int) async throws {
        let bench = try await ComputeBench()
        for (path, kind) in [
            (bench.path("os-quota-class-sets/default"), "quota_class_set"),
            (bench.path("os-quota-sets/\(Person.annsProject)"), "quota_set"),
        ] {
            var limits = try #require(try await bench.api.get(path, as: .root, version: version)[kind]?.object)
            limits["id"] = nil
            for (name, limit) in limits { limits[name] = .integer((limit.integer ?? 0) + 100) }
            let set = try await bench.api.put(path, .object([kind: .object(limits)]), as: .root, version: version)
            #expect(set[kind] == .object(limits))
            limits["id"] = .string(kind == "quota_set" ? Person.annsProject.text : "default")
            #expect(try await bench.api.get(path, as: .root, version: version)[kind] == .object(limits))
        }
    }

    @Test func theDefaultClassIsTheDefault() async throws {
        let bench = try await ComputeBench()
        let body: JSONValue = ["quota_class_set": ["instances": 1, "server_groups": 3]]
        let set = try await bench.api.put(
            bench.path("os-quota-class-sets/default"), body, as: .root, version: 57)
        #expect(set["quota_class_set", "instances"] == 1 && set["quota_class_set", "id"] == nil)
        let path = bench.path("os-quota-sets/\(Person.annsProject)")
        #expect(try await bench.api.get("\(path)/defaults", version: 57)["quota_set", "instances"] == 1)
        #expect(try await bench.api.get(path, version: 57)["quota_set", "server_groups"] == 3)
        #expect(try await bench.api.get(bench.path("limits"))["limits", "absolute", "maxTotalInstances"] == 1)
        #expect(try await bench.create().status == 202)
        #expect(try await bench.create().status == 403)
    }

    @Test func aUserHasLimitsOfItsOwn() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-quota-sets/\(Person.annsProject)")
        let ann = "?user_id=\(Person.ann.userID)"
        func set(_ limits: JSONValue, _ query: String = ann) async throws -> Answer {
            try await bench.api.put("\(path)\(query)", ["quota_set": limits], as: .root, version: 57)
        }
        #expect(try await set(["instances": 1, "metadata_items": 2])["quota_set", "instances"] == 1)
        #expect(try await bench.api.get("\(path)\(ann)", version: 57)["quota_set", "instances"] == 1)
        #expect(try await bench.api.get(path, version: 57)["quota_set", "instances"] == 10)
        _ = try await bench.active(["metadata": ["a": "1", "b": "2"]])
        let over = try await bench.create()
        #expect(over.status == 403)
        #expect(
            over["forbidden", "message"]
                == "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances")
        let detail = try await bench.api.get("\(path)/detail\(ann)", version: 57)
        #expect(detail["quota_set", "instances"] == ["limit": 1, "in_use": 1, "reserved": 0])
        let other = try await bench.api.get("\(path)/detail?user_id=x", version: 57)
        #expect(other["quota_set", "instances"] == ["limit": 10, "in_use": 0, "reserved": 0])
        // Not above the project's, not below what is used, unless forced.
        for limits in [
            ["instances": 11], ["instances": -1], ["instances": 0], ["key_pairs": 101], ["metadata_items": -1],
            ["server_groups": 11], ["server_group_members": 11],
        ] as [JSONValue] {
            #expect(try await set(limits).status == 400, "\(limits)")
        }
        #expect(try await set(["instances": 11, "force": "True"]).status == 200)
        #expect(try await bench.api.delete("\(path)\(ann)", as: .root).status == 202)
        #expect(try await bench.api.get("\(path)\(ann)", version: 57)["quota_set", "instances"] == 10)
        #expect(try await bench.api.get("\(path)?x=1", version: 75).status == 400)
    }

    @Test func metadataItemsAreBoundedWhereTheyCome() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-quota-sets/\(Person.annsProject)")
        let limits: JSONValue = ["quota_set": ["metadata_items": 1]]
        #expect(try await bench.api.put(path, limits, as: .root, version: 57).status == 200)
        let two: JSONValue = ["a": "1", "b": "2"]
        let over = try await bench.create(["metadata": two])
        #expect(over.status == 403)
        #expect(over["forbidden", "message"] == "Maximum number of metadata items exceeds 1")
        let id = try await bench.active(["metadata": ["a": "1"]])
        let put = try await bench.api.put(bench.path("servers/\(id)/metadata"), ["metadata": two])
        #expect(put.status == 403)
        #expect(try await bench.api.get(bench.path("limits"))["limits", "absolute", "maxServerMeta"] == 1)
    }

    @Test func keyPairsCountByUser() async throws {
        let bench = try await ComputeBench()
        let path = bench.path("os-quota-sets/\(Person.annsProject)")
        let limits: JSONValue = ["quota_set": ["key_pairs": 1]]
        #expect(try await bench.api.put(path, limits, as: .root, version: 57).status == 200)
        func make(_ name: String, as person: Person) async throws -> Int {
            try await bench.api.post(
                bench.path("os-keypairs"), ["keypair": ["name": .string(name)]], as: person
            ).status
        }
        #expect(try await make("a", as: .ann) == 200)
        #expect(try await make("b", as: .ann) == 403)
        #expect(try await make("a", as: .rita) == 200, "another user of the project")
        #expect(try await make("a", as: .bob) == 200)
        #expect(try await make("b", as: .bob) == 200)
        let detail = try await bench.api.get("\(path)/detail", version: 57)
        #expect(detail["quota_set", "key_pairs"] == ["limit": 1, "in_use": 0, "reserved": 0])
    }
}

import APITestSupport
import CloudModel
import HTTPKit
import HTTPTypes
import Primitives
import Testing

@Suite struct ServerActionTests {
    private static let stopped = ServerState(vm: .stopped, task: nil, power: .shutdown)

    @Test func serversAreStoppedStartedAndRebooted() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        let server = try #require(ServerID(id))
        #expect(try await bench.act(id, ["os-stop": .null]).status == 202)
        #expect(bench.cloud.instance(server)?.state.task == .poweringOff)
        let twice = try await bench.act(id, ["os-stop": .null])
        #expect(twice.status == 409)
        #expect(
            twice["conflictingRequest", "message"]?.string
                == "Cannot 'stop' instance \(id) while it is in task_state powering-off")
        bench.cloud.setState(server, Self.stopped)
        let again = try await bench.act(id, ["os-stop": .null])
        #expect(
            again["conflictingRequest", "message"]?.string
                == "Cannot 'stop' instance \(id) while it is in vm_state stopped")
        #expect(try await bench.act(id, ["reboot": ["type": "SOFT"]]).status == 409)
        #expect(try await bench.act(id, ["os-start": .null]).status == 202)
        bench.cloud.setState(server, ServerState(vm: .active, task: nil, power: .running))
        #expect(try await bench.act(id, ["reboot": ["type": "soft"]]).status == 202)
        #expect(try await bench.api.get(bench.path("servers/\(id)"))["server", "status"] == "REBOOT")
        #expect(try await bench.act(id, ["reboot": ["type": "HARD"]]).status == 202)
        let actions = try await bench.api.get(bench.path("servers/\(id)/os-instance-actions"), version: 84)
        #expect(actions.names("instanceActions", "action") == ["reboot", "reboot", "start", "stop", "create"])
    }

    /// A balancer asks again when the answer was lost, and gives each try the same key.
    @Test func anActionIsRepeatedWithItsKeyAndCarriedOutOnce() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        let server = try #require(ServerID(id))
        func act(_ action: String, key: String?) async throws -> Int {
            var headers: HTTPFields = [:]
            if let key { headers[.idempotencyKey] = key }
            let path = bench.path("servers/\(id)/action")
            return try await bench.api.send(.post, path, [action: .null], headers: headers).status
        }
        #expect(try await act("os-stop", key: "3a4f-1_b") == 202)
        #expect(try await act("os-stop", key: "3a4f-1_b") == 202)
        #expect(try await act("os-stop", key: "\"3a4f-1_b\"") == 202)
        #expect(try await act("os-stop", key: "another") == 409)
        #expect(try await act("os-stop", key: nil) == 409)
        #expect(try await act("os-stop", key: "") == 409)
        bench.cloud.setState(server, Self.stopped)
        #expect(try await act("os-stop", key: "3a4f-1_b") == 202)
        #expect(bench.cloud.instance(server)?.state == Self.stopped)
        // Another action is another request, whatever its key.
        #expect(try await act("os-start", key: "3a4f-1_b") == 202)
        #expect(bench.cloud.instance(server)?.state.task == .poweringOn)
        // What no header of that kind may be is as none.
        for malformed in ["a b", String(repeating: "a", count: 65), "\""] {
            bench.cloud.setState(server, ServerState(vm: .active, task: nil, power: .running))
            #expect(try await act("os-stop", key: malformed) == 202, "\(malformed)")
            #expect(try await act("os-stop", key: malformed) == 409, "\(malformed)")
        }
    }

    @Test(
        arguments: [
            (.object([:]), 400), (["os-start": .null, "os-stop": .null], 400), (["dance": .null], 400),
            (["resize": ["flavorRef": "2"]], 400), (["resetNetwork": .null], 410), (["os-getRDPConsole": .null], 410),
            (["reboot": .null], 400), (["reboot": ["type": "GENTLE"]], 400),
            (["reboot": ["type": "SOFT", "x": 1]], 400),
            (["reboot": .object([:])], 400), ([], 400), ("os-start", 400), (["os-start": ["force": true]], 400),
            (["os-getConsoleOutput": ["length": "x"]], 400), (["os-getConsoleOutput": ["length": -2]], 400),
            (["lock": ["reason": "x"]], 400),
        ] as [(JSONValue, Int)])
    func actionsAreChecked(body: JSONValue, status: Int) async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        #expect(try await bench.act(id, body).status == status)
    }

    @Test func aServerWithoutACellCanOnlyBeDeleted() async throws {
        let bench = try await ComputeBench()
        let id = try #require(try await bench.create()["server", "id"]?.string)
        for action: JSONValue in [["os-start": .null], ["os-stop": .null], ["reboot": ["type": "HARD"]]] {
            let answer = try await bench.act(id, action)
            #expect(answer.status == 409)
            #expect(
                answer["conflictingRequest", "message"]?.string?.hasSuffix("while it is in task_state scheduling")
                    == true)
        }
        #expect(try await bench.act(id, ["os-getConsoleOutput": .object([:])]).status == 409)
        #expect(try await bench.api.delete(bench.path("servers/\(id)")).status == 204)
        #expect(try await bench.api.get(bench.path("servers/\(id)")).status == 404)
        #expect(try await bench.networks.ports(PortQuery()).isEmpty)
    }

    @Test func aServerIsDeleted() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        #expect(try await bench.api.delete(bench.path("servers/\(id)"), as: .rita).status == 403)
        #expect(try await bench.api.delete(bench.path("servers/\(id)"), as: .bob).status == 404)
        #expect(try await bench.api.delete(bench.path("servers/\(id)")).status == 204)
        #expect(try await bench.api.delete(bench.path("servers/\(id)")).status == 204)
        let shown = try await bench.api.get(bench.path("servers/\(id)"))
        #expect(shown["server", "OS-EXT-STS:task_state"] == "deleting")
        #expect(try await bench.api.delete(bench.path("servers/nothing")).status == 404)
    }

    @Test func theConsoleIsRead() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        let forms: [JSONValue] = [
            .null, .object([:]), ["length": 10], ["length": "10"], ["length": .null], ["length": -1],
        ]
        for arguments in forms {
            let answer = try await bench.act(id, ["os-getConsoleOutput": arguments])
            #expect(answer.status == 200)
            #expect(answer["output"] == "login: ")
        }
        bench.cloud.setDown(InMemoryCloud.north)
        #expect(try await bench.act(id, ["os-getConsoleOutput": .null]).status == 503)
    }

    @Test func aLockedServerObeysAdministratorsOnly() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        #expect(try await bench.act(id, ["lock": ["locked_reason": "audit"]]).status == 202)
        let shown = try await bench.api.get(bench.path("servers/\(id)"), version: 73)
        #expect(shown["server", "locked"] == true)
        #expect(shown["server", "locked_reason"] == "audit")
        #expect(try await bench.act(id, ["os-stop": .null]).status == 409)
        #expect(try await bench.api.delete(bench.path("servers/\(id)")).status == 409)
        #expect(try await bench.act(id, ["os-stop": .null], as: .root).status == 202)
        #expect(try await bench.act(id, ["unlock": .null]).status == 202)
        #expect(try await bench.api.delete(bench.path("servers/\(id)")).status == 204)
    }

    @Test func aServerIsRenamedAndDescribed() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        let path = bench.path("servers/\(id)")
        let changed = try await bench.api.put(
            path, ["server": ["name": "other", "description": "d", "accessIPv4": "192.0.2.1"]], version: 19)
        #expect(changed.status == 200)
        #expect(changed["server", "name"] == "other")
        #expect(changed["server", "description"] == "d")
        #expect(changed["server", "accessIPv4"] == "192.0.2.1")
        #expect(changed["server", "OS-EXT-STS:vm_state"] == nil)
        let cleared = try await bench.api.put(
            path, ["server": ["description": .null, "accessIPv4": ""]], version: 75)
        #expect(cleared["server", "description"] == .null)
        #expect(cleared["server", "accessIPv4"] == "")
        #expect(cleared["server", "OS-EXT-STS:vm_state"] == "active")
        #expect(try await bench.api.put(path, ["server": ["name": ""]]).status == 400)
        #expect(try await bench.api.put(path, ["server": ["colour": "red"]]).status == 400)
        #expect(try await bench.api.put(path, ["server": ["description": "d"]], version: 18).status == 400)
        #expect(try await bench.api.put(path, ["server": ["name": "x"]], as: .rita).status == 403)
    }

    @Test func metadataIsKept() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active(["metadata": ["a": "1"]])
        let path = bench.path("servers/\(id)/metadata")
        let api = bench.api
        #expect(try await api.get(path)["metadata"] == ["a": "1"])
        #expect(try await api.post(path, ["metadata": ["b": "2"]])["metadata"] == ["a": "1", "b": "2"])
        #expect(try await api.put("\(path)/c", ["meta": ["c": "3"]])["meta"] == ["c": "3"])
        #expect(try await api.put("\(path)/c", ["meta": ["d": "3"]]).status == 400)
        #expect(try await api.get("\(path)/c")["meta"] == ["c": "3"])
        #expect(try await api.delete("\(path)/c").status == 204)
        #expect(try await api.delete("\(path)/c").status == 404)
        #expect(try await api.get("\(path)/c").status == 404)
        #expect(try await api.put(path, ["metadata": ["z": "9"]])["metadata"] == ["z": "9"])
        for bad: JSONValue in [
            ["metadata": ["a": 1]], ["metadata": []], .object([:]), ["metadata": ["a/b": "x"]],
            ["metadata": ["a": .string(String(repeating: "x", count: 256))]],
        ] {
            #expect(try await api.post(path, bad).status == 400)
        }
    }

    @Test func networksOfAServerAreShown() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        let path = bench.path("servers/\(id)")
        let api = bench.api
        #expect(try await api.get("\(path)/ips")["addresses"] == ["private": [["version": 4, "addr": "10.0.0.2"]]])
        #expect(try await api.get("\(path)/ips/private")["private", "0", "addr"] == "10.0.0.2")
        #expect(try await api.get("\(path)/ips/other").status == 404)
        let interfaces = try await api.get("\(path)/os-interface", version: 70)
        #expect(interfaces["interfaceAttachments", "0", "net_id"]?.string == bench.networkID)
        #expect(interfaces["interfaceAttachments", "0", "tag"] == .null)
        let port = try #require(interfaces["interfaceAttachments", "0", "port_id"]?.string)
        #expect(try await api.get("\(path)/os-interface/\(port)").status == 200)
        #expect(try await api.get("\(path)/os-interface/x").status == 404)
        #expect(try await api.get("\(path)/os-security-groups").names("security_groups") == ["default"])
        #expect(try await api.get("\(path)/os-volume_attachments")["volumeAttachments"] == [])
        #expect(try await api.get("\(path)/os-volume_attachments/x").status == 404)
        #expect(try await api.get("\(path)/tags", version: 26)["tags"] == [])
        #expect(try await api.get("\(path)/tags", version: 25).status == 404)
        #expect(try await api.get("\(path)/ips", as: .bob).status == 404)
    }

    @Test func whatWasAskedOfAServerIsShown() async throws {
        let bench = try await ComputeBench()
        let id = try await bench.active()
        let path = bench.path("servers/\(id)/os-instance-actions")
        let list = try await bench.api.get(path, version: 84)
        let request = try #require(list["instanceActions", "0", "request_id"]?.string)
        #expect(request.hasPrefix("req-"))
        let one = try await bench.api.get("\(path)/\(request)", version: 84)
        #expect(one["instanceAction", "action"] == "create")
        // The cell tells nothing: what the root knows is shown.
        #expect(one["instanceAction", "events"] == [])
        #expect(try await bench.api.get("\(path)/req-x").status == 404)
        #expect(try await bench.api.get(path, as: .bob).status == 404)
    }
}

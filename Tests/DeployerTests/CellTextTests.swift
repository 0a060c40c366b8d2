import Testing

@testable import Deployer

@Suite struct CellTextTests {
    static func cell(
        _ path: String, health: String = "up", reason: String? = nil, placement: String = "enabled", servers: Int = 0,
        hosts: Int = 2, up: Int = 2, conductors: Int = 1, lag: Int64 = 0, agents: [String: Int] = ["0.1.0": 2],
        below: Int = 0
    ) -> CellReport {
        CellReport(
            path: path, parent: "/", depth: path.split(separator: "/").count, kind: below == 0 ? "leaf" : "branch",
            cells: .init(total: below, down: 0),
            health: .init(state: health, reason: reason, since: "2026-11-23T06:00:00Z"),
            placement: .init(state: placement, reason: nil, since: "2026-11-23T06:00:00Z"),
            servers: .init(total: servers, building: 0, deleting: 0, projects: servers == 0 ? 0 : 1),
            hosts: .init(total: hosts, up: up, enabled: hosts), conductors: .init(up: conductors),
            capacity: capacity, versions: .init(supervisor: "0.1.0", agents: agents),
            events: .init(applied: 5, newest: 5 + lag, lag: lag), heartbeatAt: nil)
    }

    static let capacity = CapacityReport(
        vcpus: .init(total: 4, usable: 64, used: 3), memoryMib: .init(total: 4096, usable: 3584, used: 512),
        diskGib: .init(total: 40, usable: 40, used: 1))

    static func host(
        _ name: String, in cell: String, state: String = "up", placement: String = "enabled", servers: Int = 0
    ) -> HostReport {
        HostReport(
            name: name, id: "1", cell: cell, availabilityZone: "z", state: state, lastSeenAt: "2026-11-23T06:00:00Z",
            placement: .init(state: placement, reason: nil, since: "2026-11-23T06:00:00Z"), servers: servers,
            address: "10.0.0.1", hypervisorType: "QEMU", agentVersion: "0.1.0", capacity: capacity, knownToCell: nil)
    }

    @Test func columnsAreAsWideAsTheyMustBe() {
        var table = TextTable([("A", .left), ("NUMBER", .right)])
        table.add(["long text", "1"])
        table.add([nil, "12345678"])
        #expect(table.lines == ["A            NUMBER", "long text         1", "-          12345678"])
    }

    @Test func theTableOfCellsSaysWhatIsUsed() {
        let lines = CellText.table([Self.cell("/north", servers: 3), Self.cell("/eu", health: "down", below: 2)])
        #expect(lines.count == 3)
        #expect(lines[1].hasPrefix("/north  leaf        1  up      enabled"))
        #expect(lines[2].hasPrefix("/eu     branch      1  down    enabled"))
        #expect(lines[1].contains("3/64") && lines[1].contains("0.5/3.5 GiB"))
        #expect(CellText.table([CellReport]()) == ["There is no cell yet."])
    }

    @Test func aCellSaysWhereItStandsInTheTree() {
        let leaf = CellText.lines(Self.cell("/eu/eu-1/a"), hosts: [])
        #expect(leaf.contains { $0.hasPrefix("kind ") && $0.hasSuffix("  leaf at depth 3") })
        #expect(!leaf.contains { $0.hasPrefix("cells below") })
        let branch = CellText.lines(Self.cell("/eu", below: 3), hosts: [])
        #expect(branch.contains { $0.hasPrefix("kind ") && $0.hasSuffix("  branch at depth 1") })
        #expect(branch.contains { $0.hasPrefix("cells below") && $0.hasSuffix("  3, 0 down") })
    }

    @Test func aDrainedCellSaysWhatRemains() {
        let hosts = [Self.host("n1", in: "/north", servers: 3), Self.host("n2", in: "/north")]
        let lines = CellText.answer(Self.cell("/north", placement: "draining", servers: 3), hosts: hosts)
        #expect(lines.contains("3 servers of 1 project remain there:"))
        #expect(lines.contains("  n1: 3") && !lines.contains { $0.contains("n2") })
        let empty = CellText.answer(Self.cell("/north", placement: "draining"), hosts: hosts)
        #expect(empty.last == "No server remains there: `cellwright cell retire /north` can remove it.")
        #expect(CellText.answer(Self.cell("/north"), hosts: hosts) == ["Cell /north gets new servers again."])
    }

    @Test func failuresSayWhatToDo() {
        let body = #"{"itemNotFound": {"code": 404, "message": "Cell /nort could not be found."}}"#
        #expect(
            CellsFailure(.init(request: "GET /", status: 404, detail: body), url: "u")
                == .unknown("Cell /nort could not be found.", nearest: nil))
        let silent = CellsFailure(.init(request: "GET /", status: nil, detail: "refused"), url: "http://c")
        #expect(silent.description.hasPrefix("the API at http://c does not answer (refused). See `cellwright doctor`"))
        #expect(CellsFailure(.init(request: "x", status: 401, detail: ""), url: "u") == .unauthorized)
        #expect(
            CellsFailure(.init(request: "x", status: 409, detail: body), url: "u")
                == .refused("Cell /nort could not be found."))
        #expect(
            CellsFailure.unknown("cell /nort", nearest: "/north").description
                == "there is no cell /nort; did you mean /north?")
    }

    @Test func whatGoesIntoAURLIsEscaped() {
        #expect(CellsClient.escaped("a b/ü") == "a%20b%2F%C3%BC")
        #expect(RegularText.quoted("a.b*[c]") == #"a\.b\*\[c\]"#)
    }
}

import CloudModel
import Testing
import Topology

@testable import Deployer

@Suite struct DoctorTests {
    private static let healthy = """
        room\t/\t60
        room\t/var\t80
        room\t/\t90
        memory\tMemTotal:\t4000000
        memory\tMemAvailable:\t2000000
        restarts\tcellwright-compute.service\t0
        errors\tcellwright-compute.service\t0
        libvirt\tactive
        time\t100.5
        end
        """

    private static func findings(_ output: String, needsLibvirt: Bool = true) -> [Finding] {
        HostVitals(output).findings(host: "n1", asked: 100...101, needsLibvirt: needsLibvirt)
    }

    @Test func aHostThatIsWellHasNoFinding() {
        #expect(Self.findings(Self.healthy).isEmpty)
        #expect(HostVitals(Self.healthy).fileSystems.first?.freePercent == 60)
    }

    @Test(arguments: [
        ("room\t/var\t80", "room\t/var\t9", Finding.Severity.warning, "/var has 9 % of its room left"),
        ("room\t/var\t80", "room\t/var\t1", .error, "/var has 1 % of its room left"),
        ("MemAvailable:\t2000000", "MemAvailable:\t100000", .warning, "97 of 3906 MiB of memory are available"),
        ("time\t100.5", "time\t40", .error, "its clock is 60 s off this machine's"),
        ("time\t100.5", "time\t105", .error, "its clock is 4 s off this machine's"),
        ("libvirt\tactive", "libvirt\tfailed", .error, "libvirtd does not run: no guest can be started"),
        (
            "libvirt\tactive", "failed\tcellwright-compute.service", .error,
            "systemd could not run cellwright-compute.service"
        ),
        ("compute.service\t0", "compute.service\t9", .warning, "cellwright-compute.service was brought back 9 times"),
        (
            "errors\tcellwright-compute.service\t0", "errors\tcellwright-compute.service\t1", .warning,
            "cellwright-compute.service logged 1 error in the last hour"
        ),
        ("\nend", "", .error, "it did not answer all questions"),
    ])
    func eachAilmentIsSeenWithItsCure(well: String, ill: String, severity: Finding.Severity, problem: String) throws {
        let found = Self.findings(Self.healthy.replacing(well, with: ill, maxReplacements: 1))
        #expect(found.count == 1)
        let finding = try #require(found.first)
        #expect(finding.severity == severity && finding.problem == problem && finding.subject == "host n1")
        #expect(!finding.mend.isEmpty)
    }

    @Test func simulatedHostsNeedNoLibvirt() {
        let output = Self.healthy.replacing("libvirt\tactive", with: "libvirt\tinactive")
        #expect(Self.findings(output, needsLibvirt: false).isEmpty)
    }

    // MARK: The cloud

    private static func status(
        _ cells: [CellReport], hosts: [HostReport] = [], survey: Deployment.Survey? = nil
    ) throws -> CloudStatus {
        CloudStatus(
            topology: try smallTopology(),
            survey: survey.map { .success($0) }
                ?? .success(
                    .init(desired: DesiredState(resources: []), facts: ObservedFacts(), plan: emptyPlan)),
            cells: .success(.init(cells: cells, hosts: hosts)))
    }

    private static var emptyPlan: Plan { Plan(desired: DesiredState(resources: []), observed: ObservedFacts()) }

    @Test func whatTheCellsSayBecomesFindings() throws {
        let cells = [
            CellTextTests.cell("/north", health: "down", reason: "no heartbeat from its supervisor"),
            CellTextTests.cell("/south", placement: "draining", conductors: 0, lag: 5000, agents: ["1": 1, "2": 1]),
            CellTextTests.cell("/west"),
        ]
        let hosts = [
            CellTextTests.host("n1", in: "/north", state: "down"),
            CellTextTests.host("s1", in: "/south", state: "down", placement: "disabled"),
        ]
        let problems = try Self.status(cells, hosts: hosts).findings.map { "\($0.subject): \($0.problem)" }
        let since = "since 2026-11-23T06:00:00Z"
        #expect(problems.contains("cell /north: it is down \(since): no heartbeat from its supervisor"))
        #expect(problems.contains("cell /south: no conductor of it runs: nothing is built or changed there"))
        #expect(problems.contains("cell /south: it is draining \(since)"))
        #expect(problems.contains("cell /south: the root is 5000 of its events behind"))
        #expect(problems.contains("cell /south: its agents run different versions: 1, 2"))
        #expect(problems.contains("cell /west: it is mapped and not in the topology"))
        #expect(problems.contains("host s1: its agent is silent \(since)"))
        #expect(problems.contains("host s1: it is disabled \(since)"))
        // A cell that is down has said it all.
        #expect(!problems.contains { $0.hasPrefix("host n1") })
    }

    @Test func aStatusIsMadeOfWhatAnswers() throws {
        let topology = try smallTopology()
        let blind = CloudStatus(
            topology: topology, survey: .failure(.init("no ssh")),
            cells: .success(.init(cells: [CellTextTests.cell("/north", servers: 2)], hosts: [])))
        #expect(!blind.isGood)
        #expect(blind.lines().contains { $0.hasPrefix("  /north  up, 2/2 hosts up, 2 servers") })
        #expect(blind.lines().last == "the hosts were not looked at: no ssh")
        let deaf = CloudStatus(
            topology: topology,
            survey: .success(
                .init(
                    desired: DesiredState(resources: []), facts: ObservedFacts(unreachable: ["n1": "no route"]),
                    plan: Self.emptyPlan)),
            cells: .failure(.init("no answer within 8 s")))
        #expect(deaf.lines().contains("the cells' own word is missing: no answer within 8 s"))
        #expect(deaf.lines().contains("host n1 (10.0.0.2) is unreachable: no route"))
        #expect(deaf.findings.contains { $0.subject == "host n1" && $0.severity == .error })
    }

    @Test func errorsComeFirstAndAreCounted() {
        let diagnosis = Diagnosis(
            checked: ["this machine"],
            findings: [Finding(.warning, "a", "w", mend: "x"), Finding(.error, "b", "e", mend: "y")])
        #expect(diagnosis.findings.map(\.severity) == [.error, .warning])
        #expect(diagnosis.lines.last == "1 error, 1 warning")
        #expect(Diagnosis(checked: [], findings: []).lines == ["nothing is wrong"])
    }
}

import FoundationEssentials
import Primitives
import Testing
import CloudModel
import Topology

@testable import Deployer

/// Applies a topology to real hosts with whatever executables there are. Enabled by CELLWRIGHT_E2E=1.
@Suite(.enabled(if: endToEndIsWanted, "set CELLWRIGHT_E2E=1 to make real hosts"), .serialized)
struct DeploymentEndToEndTests {
    private static let document = """
        apiVersion: cellwright/v1
        name: trial
        lab:
          network: 10.78.1.0/24
        hosts:
          - control-1
        cells:
          - name: north
            hosts:
              - north-1

        """

    @Test func serversAreMadeAsTheTopologySays() async throws {
        let folder = "/var/tmp/cellwright-deploy-test"
        try FileSystem.makeFolder(folder)
        let topology = try TopologyDocument.read(Self.document, file: "topology.yaml").withLabAddresses()
        let binaries =
            ProcessInfo.processInfo.environment["CELLWRIGHT_BINARIES"] ?? FileManager.default.currentDirectoryPath
            + "/.build/debug"
        let settings = DeploymentSettings(
            topology: topology, topologyFolder: folder, stateFolder: "\(folder)/.cellwright",
            binariesFolder: binaries, environment: [:])
        let log = LineReporter(style: .text) { print($0) }
        let lab = Lab(try #require(settings.lab), path: "/usr/bin:/bin:/usr/sbin:/sbin")
        _ = try await lab.up(reporter: log, now: Date())
        let deployment = Deployment(settings, reporter: log, wallClock: SystemWallClock(), ids: SystemIDSource())
        do { _ = try await deployment.apply(stop: StopRequest()) } catch { print("\(error)") }
        let start = ContinuousClock.now
        do { _ = try await deployment.apply(stop: StopRequest()) } catch { print("\(error)") }
        print("second apply took \(ContinuousClock.now - start)")
        let connection = SSHConnection(
            target: try #require(settings.targets["control-1"]), controlFolder: settings.stateFolder)
        try await connection.check(
            "drift",
            """
            pkill -KILL -f cellwright-api.service || true
            systemctl stop cellwright-conductor-north
            cd /; runuser -u postgres -- psql -qc "grant connect on database cellwright_north to public" \
              -c "alter role cellwright_north password 'x'"
            rabbitmqctl -q clear_permissions -p cellwright_north host.north-1
            rabbitmqctl -q delete_vhost cellwright_root
            chmod 644 /etc/cellwright/secrets/token-key; echo >> /etc/cellwright/api.json
            rm /usr/lib/cellwright/process/cellwright-conductor-*
            echo > /etc/cellwright/stray
            """)
        var survey = try await deployment.survey()
        for action in survey.plan.actions { print("drift: \(action.id): \(action.why)") }
        do { _ = try await deployment.apply(stop: StopRequest()) } catch { print("\(error)") }
        survey = try await deployment.survey()
        for action in survey.plan.actions { print("left: \(action.id): \(action.why)") }
        print(CloudStatus(topology: topology, survey: survey).lines().joined(separator: "\n"))
        do { _ = try await deployment.destroy(stop: StopRequest()) } catch { print("\(error)") }
        try await connection.check(
            "drift",
            """
            find / -xdev -newer /etc/machine-id -name '*cellwright*' -not -path '/proc/*' >&2 || true
            cd /; runuser -u postgres -- psql -l >&2; systemctl list-units '*cellwright*' postgresql* rabbit* >&2; getent passwd cellwright >&2
            exit 1
            """)
    }
}

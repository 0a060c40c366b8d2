import FoundationEssentials
import Testing

@testable import Deployer

@Suite struct LabTests {
    private let specification = LabSpecification(
        folder: "/srv/x/.cellwright/lab", network: "10.77.0.0/24", prefixLength: 24, gateway: "10.77.0.1",
        hosts: [.init(name: "north-1", address: "10.77.0.12")])

    @Test func aHostKnowsItselfAndNobodyElsesSecrets() {
        let disk = LabHostDisk(specification: specification, host: specification.hosts[0])
        let files = Dictionary(uniqueKeysWithValues: disk.files(authorizedKey: "ssh-ed25519 AAAA lab\n"))
        #expect(files["etc/hostname"] == "north-1\n")
        #expect(files["etc/hosts"]?.contains("10.77.0.12 north-1\n") == true)
        #expect(files["etc/systemd/network/10-cellwright-lab.network"]?.contains("Address=10.77.0.12/24\n") == true)
        #expect(files["etc/libvirt/qemu.conf"]?.contains("cgroup_controllers = [ ]") == true)
        #expect(files["etc/machine-id"]?.count == 33)
        #expect(LabHostDisk.randomMachineID() != LabHostDisk.randomMachineID())
    }

    @Test func containersOfDifferentLabsHaveDifferentNames() {
        var other = specification
        other.folder = "/srv/y/.cellwright/lab"
        #expect(specification.machine("a") != other.machine("a"))
        #expect(specification.tag.count == 8)
    }

    @Test func aContainerGetsKVMOnlyWhereItIsReal() {
        let container = LabContainer(specification: specification, name: "north-1")
        let plain = container.arguments(bridge: "cwlab0", hasKVM: false, systemdBooted: false)
        #expect(plain.contains("--keep-unit"))
        #expect(!plain.contains { $0.contains("kvm") })
        let rich = container.arguments(bridge: "cwlab0", hasKVM: true, systemdBooted: true)
        #expect(rich.contains("--bind=/dev/kvm"))
        #expect(!rich.contains("--keep-unit"))
    }

    @Test func theBaseTreeComesFromTheMachinesOwnMirrors() {
        let targets = """
            Debian http://mirror.example/debian bookworm main
            Debian http://mirror.example/debian bookworm main
            Debian http://mirror.example/debian bookworm-updates main
            Debian http://mirror.example/debian bookworm contrib
            Other http://apt.example/x bookworm main
            """
        #expect(
            BaseTree.mirrorLines(indexTargets: targets, suite: "bookworm") == [
                "deb http://mirror.example/debian bookworm main",
                "deb http://mirror.example/debian bookworm-updates main",
            ])
        #expect(BaseTree.mirrorLines(indexTargets: targets, suite: "trixie").isEmpty)
    }

    @Test func aChangedRecipeIsAnotherTree() {
        #expect(BaseTree(suite: "bookworm").digest != BaseTree(suite: "trixie").digest)
        #expect(BaseTree(suite: "bookworm").path == "/var/cache/cellwright/base-\(BaseTree(suite: "bookworm").digest)")
    }

    @Test func whatAMachineLacksIsSaidAllAtOnce() {
        let problems = LabPrerequisites.problems(path: "/nowhere", isRoot: false)
        #expect(problems.contains { $0.contains("root") })
    }

    @Test func theKernelsLimitIsRaisedForManyHostsAndGivenBack() throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/limit"
        func limit() throws -> String { try FileSystem.text(path).trimmed }
        try "128\n".write(toFile: path, atomically: false, encoding: .utf8)
        #expect(try WatchLimit.raise(forHosts: 5, path: path) == nil)
        let first = try #require(try WatchLimit.raise(forHosts: 16, path: path))
        #expect(try limit() == "224")
        let both = try #require(try WatchLimit.raise(forHosts: 30, path: path)).after(first)
        #expect(try limit() == "364")
        try first.restore(path: path)
        #expect(try limit() == "364", "somebody else's")
        try both.restore(path: path)
        #expect(try limit() == "128")
    }
}

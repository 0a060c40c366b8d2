import CloudModel
import FoundationEssentials
import Glibc
import Primitives
import SystemPackage
import Testing
import Topology

@testable import Deployer

@Suite struct HostTests {
    private func bash(_ script: String) async throws -> CommandResult {
        var bash = LocalCommand("bash", ["-s"])
        bash.input = Data(SSHConnection.wrapped(script).utf8)
        return try await bash.run()
    }

    @Test func aFileIsWrittenWholeWithItsModeWhateverItHolds() async throws {
        let folder = try TemporaryFolder()
        let path = "\(folder.path)/it's a file"
        let content = Data("line\n\u{0}'\"$HOME\nCELLWRIGHT\n".utf8)
        let script = HostScript.file(path: path, mode: "0640", owner: "root", content: content)
        #expect(try await bash(script) == CommandResult(status: 0, standardOutput: "", standardError: ""))
        #expect(FileManager.default.contents(atPath: path) == content)
        #expect(try await LocalCommand("stat", ["-c", "%a %U", path]).check() == "640 root\n")
        #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path).count == 1)
        _ = try await bash(HostScript.removeFile(path))
        #expect(!FileSystem.exists(path))
    }

    @Test func aTerminalsCtrlCReachesNoCommand() async throws {
        // The fifth field is the process group, to which a terminal sends the signal.
        let group = try await LocalCommand("cut", ["-d", " ", "-f", "5", "/proc/self/stat"]).check().trimmed
        #expect(Int32(group) != getpgrp())
    }

    @Test func onlyPackagesThatAreMissingAreInstalled() async throws {
        let host = """
            dpkg-query() {
              shift 2
              for p in "$@"; do case $p in
                curl|libpq5) printf '<installed %s>' $p;;
                libpq) printf '<config-files %s>' $p;;
                *) echo "no packages found matching $p" >&2;;
              esac; done
              return 1
            }
            apt-get() { case "$*" in *install*) echo "${@: -2}" >&2;; esac; }
            """
        let result = try await bash(host + "\n" + HostScript.install(["curl", "libpq", "libpq5", "nftables"]))
        #expect(result == CommandResult(status: 0, standardOutput: "", standardError: "libpq nftables\n"))
        let nothing = try await bash(host + "\n" + HostScript.install(["curl", "libpq5"]))
        #expect(nothing == CommandResult(status: 0, standardOutput: "", standardError: ""))
    }

    @Test func aGateThatNeverAnswersSaysSo() async throws {
        let result = try await bash(HostScript.gate(.init(host: "127.0.0.1", port: 1), seconds: 0))
        #expect(result.status == 1)
        #expect(result.standardError.contains("no healthy answer from http://127.0.0.1:1/healthz"))
    }

    /// systemd says that it need not reload, and yet knows other inputs: it has overlooked a drop-in that is too new.
    @Test(arguments: [("old", true), ("new", false)])
    func aUnitWhoseInputsSystemdDoesNotKnowIsReadAgain(known: String, reloads: Bool) async throws {
        let systemctl = """
            systemctl() {
              case "$*" in
              "is-enabled "*) echo enabled;;
              *NeedDaemonReload*) echo no;;
              *UnitFileState*) echo enabled;;
              *Environment*) echo "LIBVIRTD_ARGS= CELLWRIGHT_INPUTS=\(known)";;
              *is-failed*) return 1;;
              *) echo "called $*";;
              esac
            }
            """
        let result = try await bash(
            systemctl + "\n" + HostScript.unit("libvirtd.service", inputs: "new", effect: .restart))
        #expect(result.standardOutput.contains("called daemon-reload") == reloads)
        #expect(result.standardOutput.contains("called restart libvirtd.service"))
    }

    @Test func aUnitThatIsOnlyToBeEnabledIsNotRestarted() async throws {
        let systemctl = """
            systemctl() {
              case "$*" in
              "is-enabled "*) echo disabled;;
              *NeedDaemonReload*) echo no;;
              *UnitFileState*) echo disabled;;
              *is-failed*) return 1;;
              *) echo "called $*";;
              esac
            }
            """
        let result = try await bash(systemctl + "\n" + HostScript.unit("x.service", inputs: "new", effect: .none))
        #expect(
            result.standardOutput.lines == [
                "called -q enable --no-reload x.service", "called daemon-reload", "called -q is-active x.service",
            ])
    }

    @Test func whatAHostHasIsReadFromItsAnswer() {
        var parser = HostProbeParser(host: "n1")
        for line in [
            "package\tcurl\tinstalled", "package\tlibpq5\tconfig-files", "account\tcellwright\t/var/lib/cellwright",
            "path\t/etc/cellwright\tdirectory\t755\troot\troot\t1",
            "path\t/etc/cellwright/a.json\tregular file\t644\troot\tadm\t1",
            "digest\t\(String(repeating: "a", count: 64))  /etc/cellwright/a.json",
            "unit\tcellwright-api.service\tActiveState=active\tLoadState=loaded\tMainPID=7\tUnitFileState=enabled"
                + "\tCELLWRIGHT_INPUTS=123",
            "unit\tcellwright-gone.service\tActiveState=inactive\tLoadState=not-found\tMainPID=0\tUnitFileState=",
            "gate\tcellwright-api.service\t200", "gate\tcellwright-compute.service\t000", "end",
        ] { parser.read(line) }
        parser.packages(.init(.packages, host: "n1", name: "control"), ["curl", "libpq5"])
        #expect(parser.isComplete)
        #expect(
            parser.observations == [
                .init(.packages, host: "n1", name: "control"): .present(["curl": "installed"]),
                .init(.account, host: "n1", name: "cellwright"): .present(["home": "/var/lib/cellwright"]),
                .init(.directory, host: "n1", name: "/etc/cellwright"): .present(["mode": "0755", "owner": "root"]),
                .init(.file, host: "n1", name: "/etc/cellwright/a.json"): .present([
                    "mode": "0644", "owner": "root:adm", "content": String(repeating: "a", count: 64),
                ]),
                .init(.unit, host: "n1", name: "cellwright-api.service"): .present([
                    "active": "yes", "enabled": "yes", "inputs": "123",
                ]),
                .init(.gate, host: "n1", name: "cellwright-api.service"): .present(["answers": "yes"]),
                .init(.gate, host: "n1", name: "cellwright-compute.service"): .present(["answers": "no"]),
            ])
    }

    @Test(arguments: [(99, "from an altered file"), (100, "from an altered file"), (101, "123")])
    func aProcessThatStartedAfterItsFileWasAlteredHasReadIt(changed: Int, inputs: String) {
        let file = Resource(
            id: .init(.file, host: "n1", name: "/etc/cellwright/a.json"),
            specification: .file(
                .init(path: "/etc/cellwright/a.json", mode: "0644", owner: "root", content: .text("x"))),
            attributes: ["content": String(repeating: "b", count: 64)])
        let unit = Resource(
            id: .init(.unit, host: "n1", name: "cellwright-api.service"),
            specification: .unit(.init(name: "cellwright-api.service", inputs: "123")),
            attributes: ["inputs": "123"], dependsOn: [file.id])
        var parser = HostProbeParser(host: "n1")
        for line in [
            "path\t/etc/cellwright/a.json\tregular file\t644\troot\troot\t\(changed)",
            "digest\t\(String(repeating: "a", count: 64))  /etc/cellwright/a.json",
            "unit\tcellwright-api.service\tActiveState=active\tLoadState=loaded\tMainPID=7\tUnitFileState=enabled"
                + "\tExecMainStartTimestamp=@100\tCELLWRIGHT_INPUTS=123",
        ] { parser.read(line) }
        parser.noteAlteredFiles(of: unit, among: [file, unit])
        guard case .present(let found) = parser.observations[unit.id] else {
            Issue.record("the unit was not found")
            return
        }
        #expect(found["inputs"] == inputs)
    }

    @Test func theLookAtAHostRunsAnywhereAndChangesNothing() async throws {
        // This machine stands in for a host: it has no systemd, which a look must survive.
        let probe = HostProbe(
            host: "n1",
            wanted: [
                Resource(
                    id: .init(.packages, host: "n1", name: "control"), specification: .packages(["bash", "no-such"]),
                    attributes: [:]),
                Resource(
                    id: .init(.file, host: "n1", name: "/etc/hostname"),
                    specification: .file(
                        .init(path: "/etc/hostname", mode: "0644", owner: "root", content: .text("x"))),
                    attributes: [:]),
                Resource(
                    id: .init(.gate, host: "n1", name: "x.service"),
                    specification: .gate(host: "n1", .init(host: "127.0.0.1", port: 1)), attributes: [:]),
            ])
        let folder = try TemporaryFolder()
        try PrivateFile.write("#!/bin/sh\nexit 0\n", to: "\(folder.path)/systemctl", mode: [.ownerReadWriteExecute])
        let output = try await bash("PATH=\(folder.path):$PATH\n" + probe.script())
        #expect(output.status == 0, "\(output.standardError)")
        let found = try #require(probe.observations(output.standardOutput))
        #expect(found[.init(.packages, host: "n1", name: "control")] == .present(["bash": "installed"]))
        #expect(found[.init(.gate, host: "n1", name: "x.service")] == .present(["answers": "no"]))
        guard case .present(let file) = found[.init(.file, host: "n1", name: "/etc/hostname")] else {
            Issue.record("the file was not found")
            return
        }
        #expect(file["content"] == (try Digest.ofFile("/etc/hostname")))
        #expect(probe.observations("end of the line") == nil)
    }
}

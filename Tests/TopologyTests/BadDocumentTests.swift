import Testing
import Topology

/// A topology file that must be refused. What must be said about it is in Tests/Golden/bad-topologies.txt.
struct BadDocument: Sendable {
    let name: String
    let text: String

    init(_ name: String, _ text: String) {
        self.name = name
        self.text = text
    }
}

@Suite("Bad topology files")
struct BadDocumentTests {
    @Test("each mistake is reported with its place, rule and nearest valid name")
    func areRefused() throws {
        var transcript = ""
        for document in BadDocument.all {
            transcript += "== \(document.name)\n"
            for (index, line) in document.text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
                if line.isEmpty { continue }
                transcript += "\(index + 1)| ".leftPadded(to: 5) + line + "\n"
            }
            let error = #expect(throws: InvalidTopology.self, "\(document.name)") {
                try TopologyDocument.read(document.text, file: "topology.yaml")
            }
            transcript += (error?.description ?? "accepted") + "\n\n"
        }
        try RepositoryFiles.expectGolden(transcript, "Tests/Golden/bad-topologies.txt")
    }

    @Test("a document is refused for each rule")
    func rules() {
        let broken = BadDocument.all.flatMap { document -> [TopologyProblem.Rule] in
            do throws(InvalidTopology) {
                _ = try TopologyDocument.read(document.text, file: "t.yaml")
                return []
            } catch {
                return error.problems.map(\.rule)
            }
        }
        #expect(Set(broken).union([.tooLarge]) == Set(TopologyProblem.Rule.allCases))
    }

    @Test("the description names the file and has one line a problem")
    func description() {
        let error = #expect(throws: InvalidTopology.self) {
            try TopologyDocument.read("apiVersion: cellwright/v1\nnam: x\n", file: "dir/my.yaml")
        }
        #expect(
            error?.description == """
                dir/my.yaml:1:1: the root needs the key "control", because "hosts" lists no machine [missing-key]
                dir/my.yaml:1:1: the topology needs the key "cells" [missing-key]
                dir/my.yaml:1:1: the topology needs the key "name" [missing-key]
                dir/my.yaml:2:1: unknown key "nam" in the topology; did you mean "name"? [unknown-key]
                """)
    }

    @Test(
        "nothing that can be written crashes the reader",
        arguments: [
            String(repeating: "[", count: 900), String(repeating: "[", count: 100_000),
            String(repeating: "- ", count: 900) + "x", String(repeating: "{a: ", count: 900),
            "\u{0}", "\u{feff}", "---\n---\n", "%YAML 9.9\n---\na: b\n", "&a [*a]", "a: &a [1, *a]", "? [a, b]\n: c\n",
            "? {a: b}\n: c\n", "!!binary x", "!<x> y: z", "\t", "a: b: c", "'", "\"\\x", "*x", "a: |\n b\n c: d\n",
            "é: 1\né: 2\n", "\"a\": 1\n'a': 2\n", "a: 1\r\na: 2\r\n", "{a: 1, a: 2, a: 3}", "~: 1\n~: 2\n", "? \n? \n",
            "cells: [[[]], {}, 1, ~, {name: [x]}, {name: {}}, {hosts: {name: 1}}]\nhosts: {}\nroot: []\napi: x\nbootstrap: 1",
            "hosts: [a[1-2, a]1[, \"a[2-1]\", \"a[1-999999]\", \"a[1-9][1-9999][1-9999]\", \"[]\", \"a[-]\", \"a[1-]\"]",
        ])
    func survives(_ text: String) {
        #expect(throws: InvalidTopology.self) { try TopologyDocument.read(text, file: "t.yaml") }
    }

    @Test("a file of aliases of aliases is refused instead of being written out")
    func aliases() {
        var text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...20 {
            text += "a\(level): &a\(level) [\(Array(repeating: "*a\(level - 1)", count: 10).joined(separator: ", "))]\n"
        }
        let error = #expect(throws: InvalidTopology.self) { try TopologyDocument.read(text, file: "t.yaml") }
        #expect(error?.problems.contains { $0.rule == .tooLarge } == true)
    }

    @Test("a file that is too large is refused before it is read")
    func size() {
        let text = String(repeating: "# filler\n", count: 2_000_000)
        let error = #expect(throws: InvalidTopology.self) { try TopologyDocument.read(text, file: "t.yaml") }
        #expect(error?.problems.map(\.rule) == [.tooLarge])
    }
}

extension String {
    fileprivate func leftPadded(to width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
}

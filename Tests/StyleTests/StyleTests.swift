import Foundation
import Testing

/// The house rules that a compiler does not check. A rule that makes code worse may be broken where the line says why.
@Suite struct StyleTests {
    /// Modules that speak for the domain: no chance, no clock, no framework.
    static let pureModules: Set<String> = [
        "Primitives", "CloudModel", "SagaEngine", "PlacementCore", "CellProtocol", "HypervisorDriver",
        "ServerLifecycle",
        "Supervisor", "Conductor", "Topology", "ServerViews",
    ]
    static let adapters: Set<String> = ["PostgresClient", "RabbitMQTransport", "LibvirtDriver", "Persistence"]

    /// Test targets that wait for servers and services.
    static let waitingTargets = [
        "LeafCellTests", "PersistenceTests", "RabbitMQTransportTests", "PostgresClientTests", "DevCloudTests",
        "EndToEndTests", "ExistingServerTests",
    ]

    @Test func noSourceIsUnsafeOrUnfinishedWithoutAReason() throws {
        let banned = [
            ("try!", "never"), ("as!", "never"), ("nonisolated(unsafe)", "never"), ("Task.detached", "never"),
            ("@unchecked Sendable", "SAFETY"), ("TO" + "DO", "never"), ("FIX" + "ME", "never"),
            ("not implemented", "501"),
        ]
        for file in try SourceTree.swiftFiles(under: "Sources") {
            for (index, line) in file.lines.enumerated() {
                for (word, excuse) in banned where line.contains(word) {
                    let isExcused = excuse != "never" && SourceTree.isExcused(file.lines, index, excuse)
                    #expect(isExcused, "\(file.path):\(index + 1): \(word)")
                }
            }
        }
    }

    @Test func thePureModulesTakeTimeIdsAndChanceFromOutside() throws {
        // Neither do they leave the thread that a simulation runs them on, as a yield does.
        let banned = [
            "Date()", "UUID()", "Task.sleep", ".random(", "ContinuousClock()", "SystemRandomNumberGenerator",
            "Task.yield", "cancelWhenGracefulShutdown",
        ]
        let allowed = ["Sources/Primitives/Sources.swift"]
        for file in try SourceTree.swiftFiles(under: "Sources")
        where Self.pureModules.contains(file.module) && !allowed.contains(file.path) {
            for (index, line) in file.lines.enumerated()
            where !line.trimmingCharacters(in: .whitespaces).hasPrefix("//") {
                for word in banned where line.contains(word) && !line.contains("using:") {
                    Issue.record("\(file.path):\(index + 1): \(word)")
                }
            }
        }
    }

    @Test func onlyExecutablesAndAdaptersNameAdapters() throws {
        for file in try SourceTree.swiftFiles(under: "Sources")
        where !Self.adapters.contains(file.module) && !file.path.contains("/Executables/") {
            for (index, line) in file.lines.enumerated() {
                guard let range = line.range(of: "import "),
                    line[..<range.lowerBound].allSatisfy({ $0.isLetter || $0 == " " })
                else { continue }
                let module = String(line[range.upperBound...].prefix { $0.isLetter || $0.isNumber || $0 == "_" })
                #expect(!Self.adapters.contains(module), "\(file.path):\(index + 1): imports \(module)")
            }
        }
    }

    /// No way leads an image to a tool but through the inspector: one place runs the tool, what it gets only the cache
    /// makes, the cache only makes it of an inspection, and an inspection only the inspector makes.
    @Test func everyWayOfAnImageToAToolGoesThroughTheInspector() throws {
        let places: [(word: String, path: String)] = [
            ("\"qemu-img\"", "Sources/ComputeAgent/Linux/LinuxGuestPreparation.swift"),
            ("\"qemu-nbd\"", ""), ("\"qemu-io\"", ""), ("\"guestfish\"", ""), ("\"virt-", ""), ("\"mount\"", ""),
            ("CachedImage(", "Sources/ComputeAgent/Linux/ImageCache.swift"),
            ("ImageInspection(", "Sources/ImageInspector/ImageInspector.swift"),
        ]
        // What a deploy script does on the operator's machine is not an image's way.
        for file in try SourceTree.swiftFiles(under: "Sources") where file.module != "Deployer" {
            for (index, line) in file.lines.enumerated() {
                for (word, path) in places where line.contains(word) && !line.contains("///") {
                    #expect(file.path == path, "\(file.path):\(index + 1): \(word)")
                }
            }
        }
        let preparation = try SourceTree.text("Sources/ComputeAgent/Linux/LinuxGuestPreparation.swift")
        #expect(preparation.contains("let base = try await images.fetch("))
        #expect(preparation.contains("\"-F\", base.format, \"-b\", base.path"))
    }

    @Test func noLogLineHoldsASecret() throws {
        let secrets = ["token", "password", "ticket", "secret", "userData", "adminPass", "reveal()"]
        for file in try SourceTree.swiftFiles(under: "Sources") {
            for (index, line) in file.lines.enumerated()
            where line.contains("logger.") || line.contains("metadata: [") || line.contains("metadata[") {
                let values = line.split(separator: "\\(").dropFirst().map { $0.prefix { $0 != ")" } }
                for value in values {
                    for secret in secrets where value.contains(secret) {
                        Issue.record("\(file.path):\(index + 1): \(secret) in a line of the log")
                    }
                }
            }
        }
    }

    @Test func filesStayShort() throws {
        for folder in ["Sources", "Tests"] {
            for file in try SourceTree.swiftFiles(under: folder) {
                #expect(file.lines.count <= 500, "\(file.path) has \(file.lines.count) lines: which type is missing?")
            }
        }
    }

    @Test func functionsStayShort() throws {
        for file in try SourceTree.swiftFiles(under: "Sources") {
            for function in FunctionScanner.functions(in: file.lines) {
                #expect(
                    function.length <= 70,
                    "\(file.path):\(function.line): \(function.length) lines: which function is missing?")
            }
        }
    }

    /// Whoever waits in vain is named and ended instead of holding up all the others. Suites inside of another have its limit.
    @Test(arguments: waitingTargets) func everySuiteThatWaitsHasATimeLimit(target: String) throws {
        for file in try SourceTree.swiftFiles(under: "Tests/\(target)")
        where file.lines.contains(where: { $0.contains(") async") }) {
            for (index, line) in file.lines.enumerated() where line.hasPrefix("@Suite") {
                let end = file.lines[index...].firstIndex { $0.contains("struct ") } ?? index
                let hasLimit = file.lines[index...end].contains { $0.contains(".timeLimit(") }
                #expect(hasLimit, "\(file.path):\(index + 1): no time limit")
            }
        }
    }

    @Test func everyModuleIsDescribed() throws {
        let modules = try SourceTree.text("Sources/Documentation.docc/Modules.md")
        for file in try SourceTree.swiftFiles(under: "Sources") where !file.path.contains("/Executables/") {
            #expect(modules.contains("`\(file.module)`"), "Modules.md says nothing of \(file.module)")
        }
    }

    @Test func theTopLevelHoldsNothingElse() throws {
        let allowed: Set<String> = [
            "Package.swift", "Package.resolved", "Sources", "Tests", "deploy", "topology.yaml", "README.md", "LICENSE",
        ]
        for name in try FileManager.default.contentsOfDirectory(atPath: SourceTree.root.path) where !name.hasPrefix(".")
        {
            #expect(allowed.contains(name), "\(name) at the top level")
        }
    }
}

/// Finds functions and how many lines each has, by counting braces; good enough for a limit.
enum FunctionScanner {
    struct Function {
        let line: Int
        let length: Int
    }

    static func functions(in lines: [Substring]) -> [Function] {
        var functions: [Function] = []
        for (index, line) in lines.enumerated() {
            let text = line.trimmingCharacters(in: .whitespaces)
            guard text.contains("func ") || text.hasPrefix("init(") || text.contains(" init("), !text.hasPrefix("//")
            else {
                continue
            }
            let indent = line.prefix { $0 == " " }.count
            let end = lines[(index + 1)...].firstIndex { candidate in
                candidate.prefix { $0 == " " }.count == indent && candidate.dropFirst(indent).hasPrefix("}")
            }
            // A requirement without a body ends before the next declaration at its depth.
            guard let end, !lines[(index + 1)..<end].contains(where: { isDeclaration($0, at: indent) }) else {
                continue
            }
            functions.append(Function(line: index + 1, length: end - index + 1))
        }
        return functions
    }

    private static func isDeclaration(_ line: Substring, at indent: Int) -> Bool {
        guard line.prefix(while: { $0 == " " }).count == indent else { return false }
        let text = line.dropFirst(indent)
        return ["func ", "package ", "private ", "static ", "var ", "let ", "init(", "@", "///", "mutating "].contains {
            text.hasPrefix($0)
        }
    }
}

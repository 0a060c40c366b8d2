import Deployer
import Foundation
import TestSupport
import Testing

/// `cellwright dev` with the real services, PostgreSQL and RabbitMQ.
@Suite(
    "Development cloud", .serialized, .enabled(if: TestCloud.missing == nil, "\(TestCloud.missing ?? "")"),
    .timeLimit(.minutes(10)))
struct DevCloudTests {
    private static let clock = ContinuousClock()
    /// A loaded machine takes its time, above all to remove the folders of databases.
    private static let limit = Duration.seconds(60)

    /// Whether `condition` comes to hold within ``limit``.
    private static func eventually(_ condition: () async throws -> Bool) async throws -> Bool {
        let end = clock.now.advanced(by: limit)
        while clock.now < end {
            if try await condition() { return true }
            try await clock.sleep(for: .milliseconds(50))
        }
        return false
    }

    private static func isAlive(_ pid: Int32) -> Bool {
        guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/stat") else { return false }
        return !String(decoding: data, as: UTF8.self).contains(") Z ")
    }

    private static func isHealthy(_ ops: String) async -> Bool {
        guard let url = URL(string: "\(ops)/healthz") else { return false }
        return await HealthProbe.isHealthy(host: url.host() ?? "", port: url.port ?? 0)
    }

    @Test("everything answers, secrets are private, and nothing is left when it ends")
    func life() async throws {
        let cloud = try await TestCloud.start(arguments: ["--hosts-per-cell", "1"])
        let ready = cloud.ready
        #expect(ready.cells.map(\.path) == ["/", "/north", "/south"])
        #expect(ready.cells.map(\.hosts) == [[], ["north-1"], ["south-1"]])
        for process in ready.processes {
            #expect(Self.isAlive(process.pid), "\(process.name)")
            if let ops = process.ops { #expect(await Self.isHealthy(ops), "\(process.name)") }
        }
        let secrets =
            ready.cells.map(\.databasePasswordFile)
            + [ready.cloudsFile, ready.database.passwordFile, ready.broker.passwordFile]
        for path in secrets {
            let attributes = try FileManager.default.attributesOfItem(atPath: path)
            #expect((attributes[.posixPermissions] as? NSNumber)?.intValue == 0o600, "\(path)")
        }
        // No secret is among anybody's arguments or environment.
        let words = try secrets.filter { $0 != ready.cloudsFile }.map {
            try String(contentsOfFile: $0, encoding: .utf8).trimmingCharacters(in: .newlines)
        }
        for process in ready.processes {
            for file in ["cmdline", "environ"] {
                let data = FileManager.default.contents(atPath: "/proc/\(process.pid)/\(file)") ?? Data()
                let text = String(decoding: data, as: UTF8.self)
                #expect(words.allSatisfy { !text.contains($0) }, "\(file) of \(process.name)")
            }
        }
        let start = Self.clock.now
        await cloud.end()
        #expect(Self.clock.now - start < Self.limit)
        for process in ready.processes { #expect(!Self.isAlive(process.pid), "\(process.name)") }
        #expect(!FileManager.default.fileExists(atPath: ready.folder))
    }

    @Test("a service that is killed is back by itself, and nothing is left when the tool itself is killed")
    func kills() async throws {
        let cloud = try await TestCloud.start(arguments: ["--hosts-per-cell", "1"])
        let ready = cloud.ready
        let conductor = try #require(ready.processes.first { $0.name == "conductor-north" })
        let ops = try #require(conductor.ops)
        kill(conductor.pid, SIGKILL)
        #expect(try await Self.eventually { !Self.isAlive(conductor.pid) })
        #expect(try await Self.eventually { await Self.isHealthy(ops) })
        kill(ready.pid, SIGKILL)
        #expect(
            try await Self.eventually {
                !ready.processes.contains { Self.isAlive($0.pid) }
                    && !FileManager.default.fileExists(atPath: ready.folder)
            })
        await cloud.end()
    }
}

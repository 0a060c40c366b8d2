import CloudHarness
import Deployer
import Foundation
import Glibc
import Primitives
import TestSupport

/// Disks of their own for a cloud's image store, for each agent and for its PostgreSQL, small enough to be filled: file systems in
/// memory, mounted over the folders. Only root may.
struct SmallDisks: Sendable {
    private struct Disk {
        /// Processes that have files on it.
        var names: [String]
        var folder: String
        /// What stays free of it (MiB).
        var room: Int
    }

    private static let limit = Duration.seconds(60)
    private static let filler = ".filler"

    private let ready: DevReady
    private let disks: [Disk]

    static var areAllowed: Bool { geteuid() == 0 }

    /// Ends the processes for a moment, one disk after the other, and moves what they have.
    static func mount(on ready: DevReady) async throws -> SmallDisks {
        let apis = ready.processes.map(\.name).filter { $0.hasPrefix("api") }
        var disks = [Disk(names: apis, folder: "\(ready.folder)/images", room: 64)]
        disks += ready.hosts.map { Disk(names: ["compute-\($0)"], folder: "\(ready.folder)/compute/\($0)", room: 16) }
        disks.append(Disk(names: ["postgresql"], folder: try dataFolder(of: "postgresql", in: ready), room: 192))
        let small = SmallDisks(ready: ready, disks: disks)
        do {
            for disk in disks { try await small.mount(disk) }
            try await until("the cloud serves again", within: limit) { try await small.serves() }
        } catch {
            small.unmount()
            throw error
        }
        return small
    }

    private func serves() async throws -> Bool {
        do {
            let session = try await CloudSession.open(
                CloudLogin(cloud: "cellwright-admin", file: ready.cloudsFile))
            let hosts = try await session.compute.get("/os-hypervisors").list("hypervisors")
            return hosts.allSatisfy { $0["state"] == "up" }
        } catch is UnexpectedAnswer {
            return false
        }
    }

    /// Where `postgres -D` has its data.
    private static func dataFolder(of name: String, in ready: DevReady) throws -> String {
        for pid in try ready.pids(of: name) {
            let words = ProcessTable.arguments(of: pid).split(separator: "\n")
            if let flag = words.firstIndex(of: "-D"), flag + 1 < words.endIndex { return String(words[flag + 1]) }
        }
        throw HarnessFailure("\(name) has no data folder")
    }

    private func mount(_ disk: Disk) async throws {
        try await whileAway(disk.names) {
            let own = "\(ready.folder)/small-disk"
            try FileManager.default.createDirectory(atPath: own, withIntermediateDirectories: false)
            let size = try Self.kibibytes(of: disk.folder) / 1024 + 1 + disk.room
            try Self.check(Glibc.mount("tmpfs", own, "tmpfs", 0, "size=\(size)m"), "mount \(own)")
            defer {
                umount2(own, Int32(MNT_DETACH))
                rmdir(own)
            }
            try Self.run("/bin/cp", ["-a", "\(disk.folder)/.", own])
            try Self.check(Glibc.mount(own, disk.folder, nil, UInt(MS_BIND), nil), "mount \(disk.folder)")
        }
    }

    /// The folders are as they were before. Who has files open keeps them.
    func unmount() {
        for disk in disks { umount2(disk.folder, Int32(MNT_DETACH)) }
    }

    // MARK: Filling

    /// Takes all room of the disk that this process writes to.
    func fill(for name: String) throws {
        let path = "\(try disk(of: name).folder)/\(Self.filler)"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        try Self.check(descriptor < 0 ? -1 : 0, "open \(path)")
        defer { close(descriptor) }
        var end: off_t = 0
        for step in [1 << 20, 1 << 12] as [off_t] {
            while posix_fallocate(descriptor, end, step) == 0 { end += step }
        }
    }

    func free(for name: String) throws {
        let path = "\(try disk(of: name).folder)/\(Self.filler)"
        try Self.check(unlink(path), "unlink \(path)")
    }

    private func disk(of name: String) throws -> Disk {
        guard let disk = disks.first(where: { $0.names.contains(name) }) else {
            throw HarnessFailure("\(name) has no disk of its own")
        }
        return disk
    }

    // MARK: Helpers

    /// Keeps the processes from starting again while `body` runs.
    private func whileAway(_ names: [String], _ body: () throws -> Void) async throws {
        let holds = names.map { "\(ready.folder)/hold/\($0)" }
        for hold in holds { try Data().write(to: URL(filePath: hold)) }
        defer { for hold in holds { unlink(hold) } }
        for name in names {
            let pids = try ready.pids(of: name)
            for pid in pids { kill(pid, name == "postgresql" ? SIGINT : SIGTERM) }
            try await until("\(name) ends", within: Self.limit) { pids.allSatisfy { !ProcessTable.isAlive($0) } }
        }
        try body()
    }

    private static func kibibytes(of folder: String) throws -> Int {
        let output = try run("/usr/bin/du", ["-sk", folder])
        guard let size = output.split(whereSeparator: \.isWhitespace).first.flatMap({ Int($0) }) else {
            throw HarnessFailure("du says \(output)")
        }
        return size
    }

    @discardableResult
    private static func run(_ program: String, _ arguments: [String]) throws -> String {
        let process = Process()
        process.executableURL = URL(filePath: program)
        process.arguments = arguments
        let pipe = Pipe()
        process.standardOutput = pipe
        try process.run()
        let data = try pipe.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else {
            throw HarnessFailure("\(program) \(arguments) ends with \(process.terminationStatus)")
        }
        return String(decoding: data, as: UTF8.self)
    }

    private static func check(_ result: Int32, _ what: String) throws {
        guard result == 0 else { throw HarnessFailure("\(what): \(String(cString: strerror(errno)))") }
    }
}

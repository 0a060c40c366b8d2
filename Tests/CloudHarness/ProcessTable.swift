import FoundationEssentials
import Glibc

/// What the kernel says about processes.
package enum ProcessTable {
    /// False for one that is gone, or ended and not looked after yet.
    package static func isAlive(_ pid: Int32) -> Bool {
        guard let fields = statistics(of: pid) else { return false }
        return fields.first != "Z" && fields.first != "X"
    }

    /// The process whose arguments hold `word`.
    package static func find(argument word: String) -> Int32? {
        let names = entries("/proc").compactMap { Int32($0) }
        return names.first { pid in
            guard isAlive(pid), let bytes = read("/proc/\(pid)/cmdline") else { return false }
            let words = bytes.split(separator: 0).map { String(decoding: $0, as: UTF8.self) }
            // Not the shell that is about to become it.
            return words.contains(word) && words.first != "/bin/sh"
        }
    }

    /// The process and everything that it started, directly or not.
    package static func tree(of root: Int32) -> [Int32] {
        var children: [Int32: [Int32]] = [:]
        for pid in entries("/proc").compactMap({ Int32($0) }) {
            guard let fields = statistics(of: pid), fields.count > 1, let parent = Int32(fields[1]) else { continue }
            children[parent, default: []].append(pid)
        }
        var found: [Int32] = []
        var next = [root]
        while let pid = next.popLast() {
            found.append(pid)
            next += children[pid] ?? []
        }
        return found
    }

    package static func descriptors(of pid: Int32) -> [Int32] {
        entries("/proc/\(pid)/fd").compactMap { Int32($0) }
    }

    /// What each descriptor is open on: a path, `socket:[...]`, `pipe:[...]`.
    package static func openFiles(of pid: Int32) -> [String] {
        descriptors(of: pid).compactMap { descriptor in
            do {
                return try FileManager.default.destinationOfSymbolicLink(atPath: "/proc/\(pid)/fd/\(descriptor)")
            } catch {
                return nil  // closed since
            }
        }
    }

    /// Ports at the other end of the process's TCP connections.
    package static func connectedPorts(of pid: Int32) -> Set<Int> {
        let sockets = Set(openFiles(of: pid).compactMap { $0.hasPrefix("socket:[") ? $0.dropFirst(8).dropLast() : nil })
        var ports: Set<Int> = []
        for table in ["tcp", "tcp6"] {
            guard let bytes = read("/proc/\(pid)/net/\(table)") else { continue }
            for line in String(decoding: bytes, as: UTF8.self).split(separator: "\n").dropFirst() {
                let fields = line.split(separator: " ")
                guard fields.count > 9, sockets.contains(fields[9]), let port = fields[2].split(separator: ":").last
                else { continue }
                if let number = Int(port, radix: 16), number > 0 { ports.insert(number) }
            }
        }
        return ports
    }

    package static func arguments(of pid: Int32) -> String { text("/proc/\(pid)/cmdline") }
    package static func environment(of pid: Int32) -> String { text("/proc/\(pid)/environ") }

    /// Proportional set size, in bytes.
    package static func proportionalSetSize(of pid: Int32) -> Int? {
        let lines = text("/proc/\(pid)/smaps_rollup").split(separator: "\n")
        guard let line = lines.first(where: { $0.hasPrefix("Pss:") }) else { return nil }
        return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 }
    }

    /// User and system time that the process has used, all threads, in seconds.
    package static func cpuSeconds(of pid: Int32) -> Double? {
        guard let fields = statistics(of: pid), fields.count > 12, let user = Double(fields[11]),
            let system = Double(fields[12])
        else { return nil }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    /// The fields of `stat` from the state on: the name before it may hold anything.
    private static func statistics(of pid: Int32) -> [Substring]? {
        guard let bytes = read("/proc/\(pid)/stat"), let end = bytes.lastIndex(of: UInt8(ascii: ")")) else {
            return nil
        }
        return String(decoding: bytes[(end + 1)...], as: UTF8.self).split(separator: " ")
    }

    private static func text(_ path: String) -> String {
        String(decoding: (read(path) ?? []).map { $0 == 0 ? UInt8(ascii: "\n") : $0 }, as: UTF8.self)
    }

    /// Files in `/proc` say that they are empty, so they are read to their end.
    private static func read(_ path: String) -> [UInt8]? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return count == 0 ? bytes : nil }
            bytes += buffer[..<count]
        }
    }

    private static func entries(_ folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            names.append(
                withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
                })
        }
        return names
    }
}

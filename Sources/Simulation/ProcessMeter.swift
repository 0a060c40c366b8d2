import FoundationEssentials
import Glibc

/// What processes use, as the kernel counts it.
package enum ProcessMeter {
    /// Proportional set sizes, in bytes; processes that are gone count nothing.
    package static func memory(_ pids: [Int32]) -> Int { pids.reduce(0) { $0 + memory($1) } }

    /// User and system time of all threads, in seconds.
    package static func cpu(_ pids: [Int32]) -> Double { pids.reduce(0) { $0 + cpu($1) } }

    /// Open sockets.
    package static func sockets(_ pids: [Int32]) -> Int { pids.reduce(0) { $0 + sockets($1) } }

    /// The process and everything that it started, directly or not.
    package static func tree(of root: Int32) -> [Int32] {
        var children: [Int32: [Int32]] = [:]
        for pid in entries("/proc").compactMap({ Int32($0) }) {
            guard let fields = statistics(pid), fields.count > 1, let parent = Int32(fields[1]) else { continue }
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

    private static func memory(_ pid: Int32) -> Int {
        let text = String(decoding: read("/proc/\(pid)/smaps_rollup"), as: UTF8.self)
        guard let line = text.split(separator: "\n").first(where: { $0.hasPrefix("Pss:") }) else { return 0 }
        return line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 * 1024 } ?? 0
    }

    private static func cpu(_ pid: Int32) -> Double {
        guard let fields = statistics(pid), fields.count > 12, let user = Double(fields[11]),
            let system = Double(fields[12])
        else { return 0 }
        return (user + system) / Double(sysconf(Int32(_SC_CLK_TCK)))
    }

    private static func sockets(_ pid: Int32) -> Int {
        var count = 0
        var target = [UInt8](repeating: 0, count: 64)
        for name in entries("/proc/\(pid)/fd") {
            let length = readlink("/proc/\(pid)/fd/\(name)", &target, target.count)
            if length > 8, target.starts(with: Array("socket:[".utf8)) { count += 1 }
        }
        return count
    }

    /// The fields of `stat` from the state on: the name before it may hold anything.
    private static func statistics(_ pid: Int32) -> [Substring]? {
        let bytes = read("/proc/\(pid)/stat")
        guard let end = bytes.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        return String(decoding: bytes[(end + 1)...], as: UTF8.self).split(separator: " ")
    }

    /// Files in `/proc` say that they are empty, so they are read to their end. Empty when there is no such file.
    private static func read(_ path: String) -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return [] }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 16_384)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            guard count > 0 else { return bytes }
            bytes += buffer[..<count]
        }
    }

    private static func entries(_ folder: String) -> [String] {
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var names: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name != ".", name != ".." { names.append(name) }
        }
        return names
    }
}

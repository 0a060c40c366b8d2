import Foundation
import Glibc

/// Calendar clocks of single processes, moved while the machine's stays as it is: the table that `Tests/MovedClock` reads.
final class MovedClocks: Sendable {
    /// More than the kernel has process ids (`PID_MAX_LIMIT`).
    private static let places = 1 << 22

    private let path: String
    private let descriptor: Int32

    init() throws {
        var template = Array("/tmp/cellwright-clocks-XXXXXX".utf8CString)
        descriptor = mkstemp(&template)
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        // All zero, and nearly all of it a hole.
        guard descriptor >= 0, ftruncate(descriptor, Self.places * MemoryLayout<Int32>.size) == 0 else {
            throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO)
        }
    }

    deinit {
        close(descriptor)
        unlink(path)
    }

    /// What a process needs in its environment so that its clock can be moved. The library is built beside the tests.
    var environment: [String: String] {
        let bundle = CommandLine.arguments.first { $0.hasSuffix(".xctest") } ?? CommandLine.arguments[0]
        let library = URL(filePath: bundle).deletingLastPathComponent().appending(path: "libMovedClock.so").path
        return ["LD_PRELOAD": library, "CELLWRIGHT_CLOCK_TABLE": path]
    }

    /// From now on the process is so many seconds ahead of the machine, or behind it.
    func move(_ pid: Int32, by seconds: Int32) throws {
        let place = off_t(pid) * off_t(MemoryLayout<Int32>.size)
        let count = withUnsafeBytes(of: seconds) { pwrite(descriptor, $0.baseAddress, $0.count, place) }
        guard count == MemoryLayout<Int32>.size else { throw POSIXError(POSIXErrorCode(rawValue: errno) ?? .EIO) }
    }
}

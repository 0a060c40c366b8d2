import Glibc
import Testing

@testable import ServiceKit

@Suite struct MemoryKeeperTests {
    @Test func onlyCodeOfFilesIsLetGo() {
        let code = "55a0-55c0 r-xp 00001000 08:02 173521                     /usr/bin/dbus daemon\n"
        #expect(MemoryKeeper.codeRegion(code) == 0x55a0..<0x55c0)
        for other in [
            "55a0-55c0 rw-p 00001000 08:02 173521 /usr/bin/dbus",
            "55a0-55c0 r--p 00001000 08:02 173521 /usr/bin/dbus",
            "55a0-55c0 rwxp 00001000 08:02 173521 /usr/bin/dbus",
            "55a0-55c0 r-xp 00000000 00:00 0                          [vdso]", "55a0-55c0 r-xp 00000000 00:00 0", "",
        ] { #expect(MemoryKeeper.codeRegion(other) == nil, "\(other)") }
    }

    @Test func theProcessGoesOnWithLessCodeInMemory() throws {
        #expect(!MemoryKeeper.codeRegions().isEmpty)
        // Other tests run meanwhile, and the code that they run comes back at once.
        var isLess = false
        for _ in 0..<20 where !isLess {
            let before = try residentFilePages()
            MemoryKeeper.release()
            isLess = try residentFilePages() < before
        }
        #expect(isLess)
    }

    /// Pages of files that the process has in memory.
    private func residentFilePages() throws -> Int {
        let file = try #require(fopen("/proc/self/statm", "re"))
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 256)
        try #require(fgets(&line, Int32(line.count), file) != nil)
        let text = String(decoding: line.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return try #require(text.split(separator: " ").dropFirst(2).first.flatMap { Int($0) })
    }
}

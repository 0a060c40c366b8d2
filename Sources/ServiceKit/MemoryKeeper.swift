import CMalloc
import ServiceLifecycle

#if canImport(Glibc)
    import Glibc
#endif

/// Gives memory back that a process does not need any more.
///
/// The larger part of an idle process is code that ran once, while it started: the system maps 64 KiB around every page
/// of the executable that is touched. These pages are let go of; those that are still needed come back from the page cache
/// as they are used, some hundred faults of a microsecond each. What was freed on the heap and is whole pages goes too.
struct MemoryKeeper: Service {
    /// Long enough for a process to have started; work that is rare leaves its pages behind again.
    static let interval: Duration = .seconds(20)

    let clock: any Clock<Duration>

    func run() async {
        await cancelWhenGracefulShutdown {
            while await waited() { Self.release() }
        }
    }

    private func waited() async -> Bool {
        do {
            try await clock.sleep(for: Self.interval)
            return true
        } catch {
            return false
        }
    }

    static func release() {
        malloc_trim(0)
        for region in codeRegions() {
            // Code is never written to, so every page of it can be read again from its file.
            madvise(UnsafeMutableRawPointer(bitPattern: region.lowerBound), region.count, Int32(MADV_DONTNEED))
        }
    }

    /// Where files are mapped to be executed.
    static func codeRegions() -> [Range<UInt>] {
        guard let file = fopen("/proc/self/maps", "re") else { return [] }
        defer { fclose(file) }
        var line: UnsafeMutablePointer<CChar>?
        var capacity = 0
        defer { free(line) }
        var regions: [Range<UInt>] = []
        while getline(&line, &capacity, file) > 0, let line {
            if let region = codeRegion(String(cString: line)) { regions.append(region) }
        }
        return regions
    }

    /// - Parameter line: one of `/proc/self/maps`: addresses, rights, offset, device, inode and, for a file, its path.
    static func codeRegion(_ line: String) -> Range<UInt>? {
        let fields = line.split(separator: " ", maxSplits: 5, omittingEmptySubsequences: true)
        guard fields.count == 6, fields[1] == "r-xp", fields[5].drop(while: { $0 == " " }).hasPrefix("/") else {
            return nil
        }
        let bounds = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
        guard bounds.count == 2, bounds[0] < bounds[1] else { return nil }
        return bounds[0]..<bounds[1]
    }
}

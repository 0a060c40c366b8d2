package import FoundationEssentials
import Primitives
import Synchronization

/// Ids that count: the same in every run.
package final class CountingIDs: IDSource {
    private let next = Mutex<UInt32>(0)

    package init() {}

    package func uuid() -> UUID {
        let number = next.withLock { next in
            next += 1
            return next
        }
        let bytes = [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> UInt32($0)) }
        return UUID(uuid: (bytes[3], bytes[2], bytes[1], bytes[0], 0, 0, 64, 0, 128, 0, 0, 0, 0, 0, bytes[2], bytes[3]))
    }
}

/// Calendar time that stands until it is moved.
package final class ManualWallClock: WallClock {
    package static let start = Date(timeIntervalSince1970: 1_790_000_000)
    private let time = Mutex(start)

    package init() {}

    package func now() -> Date { time.withLock { $0 } }
    package func advance(_ seconds: TimeInterval) { time.withLock { $0.addTimeInterval(seconds) } }
}

package import FoundationEssentials
import Primitives
import Synchronization

/// Ids that are the same for the same seed.
package final class SeededIDs: IDSource {
    private let chance: Mutex<SplitMix>

    package init(seed: UInt64) { chance = Mutex(SplitMix(seed: seed)) }

    package func uuid() -> UUID {
        let (high, low) = chance.withLock { ($0.next(), $0.next()) }
        func byte(_ word: UInt64, _ index: UInt64) -> UInt8 { UInt8(truncatingIfNeeded: word >> (8 * index)) }
        return UUID(
            uuid: (
                byte(high, 0), byte(high, 1), byte(high, 2), byte(high, 3), byte(high, 4), byte(high, 5),
                byte(high, 6) & 0x0F | 0x40, byte(high, 7), byte(low, 0) & 0x3F | 0x80, byte(low, 1), byte(low, 2),
                byte(low, 3), byte(low, 4), byte(low, 5), byte(low, 6), byte(low, 7)
            ))
    }
}

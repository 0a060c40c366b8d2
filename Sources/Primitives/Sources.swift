package import FoundationEssentials

/// Where ids come from. Services never call `UUID()` themselves, so a simulation can replay a run.
package protocol IDSource: Sendable {
    func uuid() -> UUID
}

extension IDSource {
    package func next<Subject>(_: Subject.Type = Subject.self) -> Identifier<Subject> { Identifier(uuid()) }

    /// Chance for one purpose: as random as the ids are, and as repeatable.
    package func chance() -> SplitMix {
        let (seed, fold) = withUnsafeBytes(of: uuid().uuid) { bytes in
            (
                bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self),
                bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)
            )
        }
        // Some bits of an id are always the same; what they meet in the other half is not.
        return SplitMix(seed: seed ^ fold)
    }
}

/// Calendar time. Services never call `Date()` themselves. Durations are measured with a `Clock` instead.
package protocol WallClock: Sendable {
    func now() -> Date
}

/// The machine's own ids and calendar time: for executables, never for tests.
package struct SystemIDSource: IDSource {
    package init() {}

    /// Version 4 (RFC 9562, section 5.4), from the kernel's generator: `UUID()` opens, reads and closes a file
    /// each time.
    package func uuid() -> UUID {
        var generator = SystemRandomNumberGenerator()
        var bytes = UUID(uuid: (0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)).uuid
        withUnsafeMutableBytes(of: &bytes) { bytes in
            bytes.storeBytes(of: generator.next(), as: UInt64.self)
            bytes.storeBytes(of: generator.next(), toByteOffset: 8, as: UInt64.self)
            bytes[6] = bytes[6] & 0x0F | 0x40
            bytes[8] = bytes[8] & 0x3F | 0x80
        }
        return UUID(uuid: bytes)
    }
}

package struct SystemWallClock: WallClock {
    package init() {}
    package func now() -> Date { Date() }
}

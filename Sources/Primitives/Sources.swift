package import FoundationEssentials

/// Where ids come from. Services never call `UUID()` themselves, so a simulation can replay a run.
package protocol IDSource: Sendable {
    func uuid() -> UUID
}

extension IDSource {
    package func next<Subject>(_: Subject.Type = Subject.self) -> Identifier<Subject> { Identifier(uuid()) }
}

/// Calendar time. Services never call `Date()` themselves. Durations are measured with a `Clock` instead.
package protocol WallClock: Sendable {
    func now() -> Date
}

/// The machine's own ids and calendar time: for executables, never for tests.
package struct SystemIDSource: IDSource {
    package init() {}
    package func uuid() -> UUID { UUID() }
}

package struct SystemWallClock: WallClock {
    package init() {}
    package func now() -> Date { Date() }
}

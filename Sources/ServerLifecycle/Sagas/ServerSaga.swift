package import SagaEngine

/// What a leaf cell does to servers. Each is one step on the server's host: the agent does all of a step or undoes it.
///
/// Undo of a boot and delete park after ``destroyAttempts`` that the host answered with a failure.
///
/// | saga | step | undo | ends with |
/// |---|---|---|---|
/// | boot | `spawn` | destroy | ACTIVE, or the failure told upward; deleted when its user deleted it meanwhile |
/// | delete | `destroy` | none: past the point of no return | the row marked deleted, told upward |
/// | start, stop, soft-reboot, hard-reboot | the same | none: the guest is as it is | the new state |
package enum ServerSaga: String, Sendable, CaseIterable {
    case boot, delete, start, stop
    case softReboot = "soft-reboot"
    case hardReboot = "hard-reboot"

    /// Fetching a large image and starting under emulation both fit.
    static let spawnTimeout: Duration = .seconds(600)
    static let startTimeout: Duration = .seconds(180)
    /// Longer than a guest is given to stop by itself.
    static let stopTimeout: Duration = .seconds(180)
    static let rebootTimeout: Duration = .seconds(300)
    /// How long a guest may take to shut down by itself before it is forced.
    static let graceSeconds = 60
    /// A failed build waits this long for its host to be cleaned before the parent may try another.
    static let undoPatience: Duration = .seconds(60)
    static let spawnAttempts = 2

    /// Attempts of what must be undone or destroyed, a quarter of an hour of them; then an operator must look.
    static let destroyAttempts = 20

    /// Every version that this program can go on with, the newest last. New runs are of the newest.
    private static let definitions: [ServerSaga: [SagaDefinition]] = [
        .boot: [boot(version: 1, undo: .untilDone), boot(version: 2, undo: .insisting(destroyAttempts))],
        .delete: [delete(version: 1, .untilDone), delete(version: 2, .insisting(destroyAttempts))],
        .start: [SagaDefinition(name: "start", version: 1, steps: [SagaStep(name: "start", timeout: startTimeout)])],
        .stop: [SagaDefinition(name: "stop", version: 1, steps: [SagaStep(name: "stop", timeout: stopTimeout)])],
        .softReboot: [reboot("soft-reboot")], .hardReboot: [reboot("hard-reboot")],
    ]

    private static func boot(version: Int, undo: SagaRetry) -> SagaDefinition {
        SagaDefinition(
            name: "boot", version: version,
            steps: [
                SagaStep(
                    name: "spawn", timeout: spawnTimeout, retry: .atMost(spawnAttempts),
                    undo: SagaUndo(retry: undo, patience: undoPatience))
            ])
    }

    /// No way back: part of the server may be gone. It waits for a host that is down.
    private static func delete(version: Int, _ retry: SagaRetry) -> SagaDefinition {
        SagaDefinition(
            name: "delete", version: version,
            steps: [SagaStep(name: "destroy", timeout: nil, retry: retry, isPointOfNoReturn: true)])
    }

    private static func reboot(_ name: String) -> SagaDefinition {
        SagaDefinition(name: name, version: 1, steps: [SagaStep(name: "reboot", timeout: rebootTimeout)])
    }

    /// Names and versions of the runs that this program can go on with.
    package static let known: [(name: String, version: Int)] = allCases.flatMap { saga in
        saga.versions.map { ($0.name, $0.version) }
    }

    private var versions: [SagaDefinition] { Self.definitions[self] ?? [] }

    /// Of new runs.
    package var definition: SagaDefinition {
        guard let newest = versions.last else { preconditionFailure("every saga is defined") }
        return newest
    }

    /// The saga of a stored run with the definition that it began with; nil when this program does not know that version.
    package static func stored(name: String, version: Int) -> (saga: ServerSaga, definition: SagaDefinition)? {
        guard let saga = ServerSaga(rawValue: name),
            let definition = saga.versions.first(where: { $0.version == version })
        else { return nil }
        return (saga, definition)
    }

    /// As instance actions name it.
    package var action: String {
        switch self {
        case .boot: "create"
        case .delete: "delete"
        case .start: "start"
        case .stop: "stop"
        case .softReboot, .hardReboot: "reboot"
        }
    }
}

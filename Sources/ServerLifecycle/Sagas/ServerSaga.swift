package import SagaEngine

/// What a leaf cell does to servers. Each is one step on the server's host: the agent does all of a step or undoes it.
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

    private static let definitions: [ServerSaga: SagaDefinition] = [
        .boot: SagaDefinition(
            name: "boot", version: 1,
            steps: [
                SagaStep(
                    name: "spawn", timeout: spawnTimeout, retry: .atMost(spawnAttempts),
                    undo: SagaUndo(retry: .untilDone, patience: undoPatience))
            ]),
        .delete: SagaDefinition(
            name: "delete", version: 1,
            // No way back: part of the server may be gone. It waits for a host that is down.
            steps: [SagaStep(name: "destroy", timeout: nil, retry: .untilDone, isPointOfNoReturn: true)]),
        .start: SagaDefinition(name: "start", version: 1, steps: [SagaStep(name: "start", timeout: startTimeout)]),
        .stop: SagaDefinition(name: "stop", version: 1, steps: [SagaStep(name: "stop", timeout: stopTimeout)]),
        .softReboot: SagaDefinition(
            name: "soft-reboot", version: 1, steps: [SagaStep(name: "reboot", timeout: rebootTimeout)]),
        .hardReboot: SagaDefinition(
            name: "hard-reboot", version: 1, steps: [SagaStep(name: "reboot", timeout: rebootTimeout)]),
    ]

    package var definition: SagaDefinition {
        guard let definition = Self.definitions[self] else { preconditionFailure("every saga is defined") }
        return definition
    }

    /// The saga of a stored run; nil when this program does not know that version.
    package init?(name: String, version: Int) {
        guard let saga = ServerSaga(rawValue: name), saga.definition.version == version else { return nil }
        self = saga
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

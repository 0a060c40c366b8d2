/// What a server is, apart from what is being done to it. Raw values are Nova's.
package enum VMState: String, Codable, Sendable, CaseIterable {
    case building, active, stopped, error, deleted
}

/// What is being done to a server at the moment. Raw values are Nova's.
package enum TaskState: String, Codable, Sendable, CaseIterable {
    case scheduling, networking, spawning
    case poweringOn = "powering-on"
    case poweringOff = "powering-off"
    case rebooting
    case rebootStarted = "reboot_started"
    case rebootingHard = "rebooting_hard"
    case rebootStartedHard = "reboot_started_hard"
    case deleting
}

/// What the hypervisor says of the guest. Raw values are Nova's codes.
package enum PowerState: Int, Codable, Sendable, CaseIterable {
    case noState = 0
    case running = 1
    case paused = 3
    case shutdown = 4
    case crashed = 6
    case suspended = 7
}

/// The three states of a server together; they change only through ``ServerStateMachine``.
package struct ServerState: Codable, Sendable, Hashable {
    package var vm: VMState
    package var task: TaskState?
    package var power: PowerState

    package init(vm: VMState, task: TaskState?, power: PowerState) {
        self.vm = vm
        self.task = task
        self.power = power
    }

    package static let scheduling = ServerState(vm: .building, task: .scheduling, power: .noState)

    /// The API's `status`, as Nova derives it.
    package var status: String {
        switch (vm, task) {
        case (.active, .rebooting), (.active, .rebootStarted), (.stopped, .rebooting), (.stopped, .rebootStarted):
            "REBOOT"
        case (.active, .rebootingHard), (.active, .rebootStartedHard), (.stopped, .rebootingHard),
            (.stopped, .rebootStartedHard), (.error, .rebootingHard), (.error, .rebootStartedHard):
            "HARD_REBOOT"
        case (.building, _): "BUILD"
        case (.active, _): "ACTIVE"
        case (.stopped, _): "SHUTOFF"
        case (.error, _): "ERROR"
        case (.deleted, _): "DELETED"
        }
    }
}

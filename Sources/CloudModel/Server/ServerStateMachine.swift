/// The one transition table of a server: what a user may ask in which state, and what each outcome leads to.
///
/// The API's 409 answers, the conductor's sagas and the reconcilers all ask this table and nothing else.
package enum ServerStateMachine {
    /// Everything that can happen to a server.
    package enum Event: Hashable, Sendable, CaseIterable {
        // asked by users
        case start, stop, softReboot, hardReboot, delete
        // said by sagas
        case hostChosen, spawnStarted, spawned, buildFailed
        case started, stopped, rebooted, deleted
        /// A start, stop or reboot did not succeed; the guest is as it was.
        case actionFailed
        /// A hard reboot or start that left the guest unusable.
        case broke
        /// What was being done, a delete too, can't go on by itself: neither done nor undone.
        case gaveUp
        // seen by reconcilers
        case sawRunning, sawShutdown, sawCrashed
    }

    /// Why the table refuses: becomes the API's 409.
    package struct Refusal: Error, Equatable, Sendable, CustomStringConvertible {
        package let event: Event
        package let state: ServerState
        /// Nova's wording: which attribute stands in the way, and its value.
        package var description: String {
            if let task = state.task { "task_state \(task.rawValue)" } else { "vm_state \(state.vm.rawValue)" }
        }
    }

    /// The state after `event`.
    /// - Throws: ``Refusal`` when the event is not allowed in `state`.
    package static func next(_ state: ServerState, _ event: Event) throws(Refusal) -> ServerState {
        guard let next = successor(state, event) else { throw Refusal(event: event, state: state) }
        return next
    }

    package static func allows(_ state: ServerState, _ event: Event) -> Bool { successor(state, event) != nil }

    private static func successor(_ state: ServerState, _ event: Event) -> ServerState? {
        guard state.vm != .deleted else { return nil }
        return switch event {
        case .start: asked(state, from: [.stopped], task: .poweringOn)
        case .stop: asked(state, from: [.active, .error], task: .poweringOff)
        case .softReboot: state.power == .running ? asked(state, from: [.active], task: .rebooting) : nil
        case .hardReboot:
            [.rebooting, .rebootStarted, .rebootingHard, .rebootStartedHard].contains(state.task)
                ? ServerState(vm: state.vm, task: .rebootingHard, power: state.power)
                : asked(state, from: [.active, .stopped, .error], task: .rebootingHard)
        case .delete: ServerState(vm: state.vm, task: .deleting, power: state.power)
        case .hostChosen: building(state, task: .networking)
        case .spawnStarted: building(state, task: .spawning)
        case .spawned:
            state.vm == .building && state.task != .deleting
                ? ServerState(vm: .active, task: nil, power: .running) : nil
        case .buildFailed:
            state.vm == .building && state.task != .deleting ? ServerState(vm: .error, task: nil, power: .noState) : nil
        case .started: finished(state, during: [.poweringOn], vm: .active, power: .running)
        case .stopped: finished(state, during: [.poweringOff], vm: .stopped, power: .shutdown)
        case .rebooted:
            finished(
                state, during: [.rebooting, .rebootStarted, .rebootingHard, .rebootStartedHard], vm: .active,
                power: .running)
        case .actionFailed: state.task == .deleting ? nil : ServerState(vm: state.vm, task: nil, power: state.power)
        case .broke: state.task == .deleting ? nil : ServerState(vm: .error, task: nil, power: state.power)
        case .gaveUp: ServerState(vm: .error, task: nil, power: state.power)
        case .deleted: state.task == .deleting ? ServerState(vm: .deleted, task: nil, power: .noState) : nil
        case .sawRunning: seen(state, .running)
        case .sawShutdown: seen(state, .shutdown)
        case .sawCrashed: seen(state, .crashed)
        }
    }

    private static func asked(_ state: ServerState, from allowed: [VMState], task: TaskState) -> ServerState? {
        guard state.task == nil, allowed.contains(state.vm) else { return nil }
        return ServerState(vm: state.vm, task: task, power: state.power)
    }

    private static func building(_ state: ServerState, task: TaskState) -> ServerState? {
        guard state.vm == .building, state.task != .deleting else { return nil }
        return ServerState(vm: .building, task: task, power: .noState)
    }

    private static func finished(
        _ state: ServerState, during tasks: [TaskState], vm: VMState, power: PowerState
    ) -> ServerState? {
        guard let task = state.task, tasks.contains(task) else { return nil }
        return ServerState(vm: vm, task: nil, power: power)
    }

    /// The hypervisor's word is taken only while nothing is being done: an action in progress reports for itself.
    private static func seen(_ state: ServerState, _ power: PowerState) -> ServerState? {
        guard state.task == nil else { return nil }
        switch (state.vm, power) {
        case (.active, .shutdown), (.active, .crashed): return ServerState(vm: .stopped, task: nil, power: power)
        // Its user has stopped it: what was started behind the cell's back is stopped again.
        case (.stopped, .running): return ServerState(vm: .stopped, task: .poweringOff, power: power)
        case (.active, _), (.stopped, _), (.error, _): return ServerState(vm: state.vm, task: nil, power: power)
        case (.building, _), (.deleted, _): return nil
        }
    }
}

@testable import CloudModel
import Testing

@Suite struct ServerStateMachineTests {
    static let states: [ServerState] = VMState.allCases.flatMap { vm in
        ([nil] + TaskState.allCases.map(Optional.some)).flatMap { task in
            PowerState.allCases.map { ServerState(vm: vm, task: task, power: $0) }
        }
    }

    @Test func nothingHappensToADeletedServer() {
        for state in Self.states where state.vm == .deleted {
            for event in ServerStateMachine.Event.allCases {
                #expect(!ServerStateMachine.allows(state, event), "\(event) in \(state)")
            }
        }
    }

    @Test func deleteIsAllowedInEveryOtherState() {
        for state in Self.states where state.vm != .deleted {
            #expect(ServerStateMachine.allows(state, .delete), "\(state)")
        }
    }

    @Test func nothingButItsEndHappensToAServerThatIsBeingDeleted() throws {
        let outcomes: [ServerStateMachine.Event] = [.spawned, .buildFailed, .started, .stopped, .rebooted, .broke]
        for state in Self.states where state.task == .deleting && state.vm != .deleted {
            for event in outcomes { #expect(!ServerStateMachine.allows(state, event), "\(event) in \(state)") }
            #expect(try ServerStateMachine.next(state, .deleted).vm == .deleted)
        }
    }

    @Test func usersMayNotActWhileAnotherActionRuns() {
        for state in Self.states where state.task != nil {
            for event in [ServerStateMachine.Event.start, .stop, .softReboot] {
                #expect(!ServerStateMachine.allows(state, event), "\(event) in \(state)")
            }
        }
    }

    @Test func aWholeLifeEndsWhereItShould() throws {
        var state = ServerState.scheduling
        let life: [(ServerStateMachine.Event, String)] = [
            (.hostChosen, "BUILD"), (.spawnStarted, "BUILD"), (.spawned, "ACTIVE"), (.stop, "ACTIVE"),
            (.stopped, "SHUTOFF"), (.start, "SHUTOFF"), (.started, "ACTIVE"), (.softReboot, "REBOOT"),
            (.rebooted, "ACTIVE"), (.hardReboot, "HARD_REBOOT"), (.rebooted, "ACTIVE"), (.sawShutdown, "SHUTOFF"),
            (.delete, "SHUTOFF"), (.deleted, "DELETED"),
        ]
        for (event, status) in life {
            state = try ServerStateMachine.next(state, event)
            #expect(state.status == status, "after \(event)")
        }
    }

    @Test func aRefusalNamesWhatStandsInTheWay() {
        let busy = ServerState(vm: .active, task: .rebooting, power: .running)
        #expect(throws: ServerStateMachine.Refusal(event: .stop, state: busy)) {
            try ServerStateMachine.next(busy, .stop)
        }
        #expect(ServerStateMachine.Refusal(event: .stop, state: busy).description == "task_state rebooting")
        let stopped = ServerState(vm: .stopped, task: nil, power: .shutdown)
        #expect(ServerStateMachine.Refusal(event: .stop, state: stopped).description == "vm_state stopped")
    }
}

@Suite struct CellPathTests {
    @Test(arguments: ["/", "/north", "/eu/eu-1", "/a/b/c/d"])
    func readsAbsolutePathsAndWritesThemBack(text: String) throws {
        #expect(try #require(CellPath(text)).description == text)
    }

    @Test(arguments: [
        "", "north", "/north/", "//", "/eu//eu-1", "/ü", "/North", "/a b", "/-a", "/a-",
        "/" + String(repeating: "a", count: 64),
    ])
    func refusesEverythingElse(text: String) { #expect(CellPath(text) == nil) }

    @Test func knowsItsParentAndItsChildren() throws {
        let path = try #require(CellPath("/eu/eu-1"))
        #expect(path.parent == CellPath("/eu"))
        #expect(path.parent?.parent == .root)
        #expect(CellPath.root.parent == nil)
        #expect(CellPath.root.child("eu")?.child("eu-1") == path)
    }
}

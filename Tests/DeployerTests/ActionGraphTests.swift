import CloudModel
import Testing
import Topology

@testable import Deployer

@Suite struct ActionGraphTests {
    private func action(_ name: String, host: HostName = "a", after: [String] = []) -> PlanAction {
        PlanAction(
            resource: .init(.file, host: host, name: name), cell: nil, what: "write \(name)", why: "absent",
            effect: .create, dependsOn: after.map { "file@\(host):\($0)" }, specification: nil)
    }

    private func names(_ actions: [PlanAction]) -> [String] { actions.map(\.resource.name) }

    @Test func anActionWaitsForWhatItDependsOn() {
        var graph = ActionGraph([action("/1"), action("/2", after: ["/1"]), action("/3")])
        #expect(names(graph.start()) == ["/1", "/3"])
        #expect(names(graph.start()) == [])
        graph.finish("file@a:/1", .succeeded)
        #expect(names(graph.start()) == ["/2"])
        graph.finish("file@a:/2", .succeeded)
        graph.finish("file@a:/3", .succeeded)
        #expect(graph.isFinished)
    }

    @Test func aFailureLeavesOutWhatDependsOnItAndNothingElse() {
        var graph = ActionGraph([
            action("/1"), action("/2", after: ["/1"]), action("/3", after: ["/2"]), action("/4"),
        ])
        _ = graph.start()
        graph.finish("file@a:/1", .failed("disk full"))
        graph.finish("file@a:/4", .succeeded)
        #expect(graph.start().isEmpty)
        #expect(graph.isFinished)
        #expect(graph.outcomes["file@a:/2"] == .leftOut(after: "file@a:/1"))
        #expect(graph.outcomes["file@a:/3"] == .leftOut(after: "file@a:/2"))
        #expect(graph.outcomes["file@a:/4"] == .succeeded)
    }

    @Test func noHostGetsMoreThanItsShare() {
        let actions = (1...5).map { action("/\($0)") } + (1...5).map { action("/\($0)", host: "b") }
        var graph = ActionGraph(actions, limits: .init(total: 5, perHost: 3))
        let started = graph.start()
        #expect(started.count { $0.host == "a" } == 3)
        #expect(started.count { $0.host == "b" } == 2)
    }

    @Test func dependenciesOutsideThePlanAreFulfilled() {
        var graph = ActionGraph([action("/2", after: ["/not-in-the-plan"])])
        #expect(names(graph.start()) == ["/2"])
    }

    @Test func anActionWithAlternativesWaitsForOneOfThem() {
        var last = action("/3")
        last.dependsOnAny = ["file@a:/1", "file@a:/2"]
        var graph = ActionGraph([action("/1"), action("/2"), last])
        #expect(names(graph.start()) == ["/1", "/2"])
        graph.finish("file@a:/1", .failed("disk full"))
        #expect(graph.start().isEmpty)
        graph.finish("file@a:/2", .succeeded)
        #expect(names(graph.start()) == ["/3"])

        graph = ActionGraph([action("/1"), action("/2"), last])
        _ = graph.start()
        graph.finish("file@a:/1", .failed("disk full"))
        graph.finish("file@a:/2", .failed("disk full"))
        #expect(graph.start().isEmpty)
        #expect(graph.outcomes["file@a:/3"] == .leftOut(after: "file@a:/1"))
    }
}

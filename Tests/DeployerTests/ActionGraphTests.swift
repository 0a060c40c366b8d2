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

    /// A folder is made in no time, so those of one host go together and count as one.
    @Test func shortActionsOfAHostCountAsOne() {
        func folder(_ number: Int, on host: HostName) -> PlanAction {
            PlanAction(
                resource: .init(.directory, host: host, name: "/\(number)"), cell: nil, what: "make", why: "absent",
                effect: .create, dependsOn: [],
                specification: .directory(.init(path: "/\(number)", mode: "0755", owner: "root")))
        }
        let actions =
            (1...5).map { folder($0, on: "a") } + [action("/x"), action("/y"), action("/z")]
            + (1...2).map { folder($0, on: "b") } + (1...2).map { folder($0, on: "c") }
        var graph = ActionGraph(actions, limits: .init(total: 4, perHost: 3, shortPerHost: 4))
        let started = graph.start()
        #expect(started.filter { $0.host == "a" }.map(\.resource.name) == ["/1", "/2", "/3", "/4", "/x", "/y"])
        #expect(started.count { $0.host == "b" } == 2)
        #expect(
            started.count { $0.host == "c" } == 0, "four are under way: folders on a, two files there, folders on b")
        graph.finish("file@a:/x", .succeeded)
        #expect(names(graph.start()) == ["/z"])
        graph.finish("directory@a:/1", .succeeded)
        #expect(names(graph.start()) == ["/5"])
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

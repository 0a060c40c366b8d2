import CloudModel
import Testing

@testable import Topology

@Suite("What was found")
struct ObservationsTests {
    /// Names of which some are in the paths of every host.
    static let hosts: [HostName] = ["north-1", "n", "compute", "etc", "cell", "rack-1.example"]

    private func found(_ host: HostName, secret: String = "s") -> [Resource.ID: ObservedFacts.Observation] {
        [
            .init(.directory, host: host, name: "/etc/cellwright/secrets"): .present(["mode": "0711"]),
            .init(.file, host: host, name: "/etc/cellwright/secrets/broker.host.\(host)"): .present(["content": secret]
            ),
            .init(.unit, host: host, name: "cellwright-compute.service"): .present(["active": "yes"]),
            .init(.gate, host: host, name: "cellwright-compute.service"): .present(["answers": "yes"]),
            .init(.hostQueue, cell: CellPath("/north"), name: host.text): .unknown("no answer"),
            .init(.brokerUser, host: "control", name: "host.\(host)"): .absent,
        ]
    }

    @Test("is there under its own name, whatever a host is called", arguments: hosts)
    func lookup(_ host: HostName) {
        var observations = Observations()
        for host in Self.hosts { observations.add(found(host)) }
        for (id, observation) in found(host) { #expect(observations[id] == observation, "\(id)") }
        #expect(observations.count == 6 * Self.hosts.count)
        #expect(Set(observations.ids) == Set(Self.hosts.flatMap { found($0).keys }))
        #expect(observations[.init(.directory, host: host, name: "/etc")] == nil)
        #expect(observations[.init(.file, host: host, name: "/etc/cellwright/secrets")] == nil)
        #expect(observations[.init(.unit, host: "other", name: "cellwright-compute.service")] == nil)
    }

    @Test("is the same however it came together")
    func equality() {
        let all = Self.hosts.reduce(into: [:]) { $0.merge(found($1)) { first, _ in first } }
        var one = Observations()
        for (id, observation) in all { one[id] = observation }
        #expect(one == Observations(all))
        one[.init(.directory, host: "n", name: "/etc/cellwright/secrets")] = .present([:])
        #expect(one != Observations(all))
        one[.init(.directory, host: "n", name: "/etc/cellwright/secrets")] = .present(["mode": "0711"])
        #expect(one == Observations(all))
        for id in all.keys { one[id] = nil }
        #expect(one == Observations() && one.ids.isEmpty)
    }

    @Test("of hosts alike shares everything but what is a host's own")
    func sharing() throws {
        var observations = Observations()
        for host in ["north-1", "north-2", "north-3"] as [HostName] {
            observations.add(found(host, secret: "secret of \(host)"))
        }
        let places = try ["north-1", "north-2", "north-3"].map {
            try #require(observations.places[.init(host: HostName($0))])
        }
        func address<Element>(_ list: [Element]) -> UnsafePointer<Element>? {
            list.withUnsafeBufferPointer(\.baseAddress)
        }
        #expect(Set(places.map { address($0.names) }).count == 1)
        #expect(Set(places.map { address($0.common) }).count == 1)
        #expect(places.map(\.differences.count) == [0, 1, 1])
        let file = Resource.ID(.file, host: "north-2", name: "/etc/cellwright/secrets/broker.host.north-2")
        #expect(observations[file] == .present(["content": "secret of north-2"]))
        observations[.init(.unit, host: "north-2", name: "cellwright-compute.service")] = .absent
        #expect(
            observations[.init(.unit, host: "north-3", name: "cellwright-compute.service")]
                == .present(["active": "yes"]))
    }

    @Test("can be added to, place by place, and filtered")
    func adding() {
        var observations = Observations(found("north-1"))
        let unit = Resource.ID(.unit, host: "north-1", name: "cellwright-compute.service")
        observations.add([
            unit: .present(["active": "no"]), .init(.account, host: "north-1", name: "cellwright"): .present([:]),
        ])
        #expect(observations[unit] == .present(["active": "no"]))
        #expect(observations.count == 7)
        let kept = observations.filter { id, observation in id.host == "north-1" && observation != .absent }
        #expect(kept.count == 5 && kept.ids.allSatisfy { $0.host == "north-1" })
        #expect(kept[unit] == .present(["active": "no"]))
    }
}

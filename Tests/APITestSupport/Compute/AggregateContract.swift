package import CloudModel
import FoundationEssentials
import Primitives
import Testing

/// What every ``AggregateStore`` keeps, as cases that the stand-in's and the database's tests both run.
///
/// There are hosts `north-1` and `north-2` in zone `north`, of a cell of that name, and the same of `south`. No host has
/// servers but `south-2`, which has one.
package enum AggregateContract {
    package struct Case: Sendable, CustomTestStringConvertible {
        let name: String
        let body: @Sendable (Bench) async throws -> Void
        package var testDescription: String { name }

        package func run(_ store: any AggregateStore, _ hosts: any HostDirectory) async throws {
            try await body(Bench(store: store, hosts: hosts))
        }
    }

    package struct Bench: Sendable {
        let store: any AggregateStore
        let hosts: any HostDirectory
        let ids = CountingIDs()
        static let later = ManualWallClock.start.addingTimeInterval(60)

        func aggregate(_ name: String, zone: String? = nil, hosts: HostName...) async throws -> Int64 {
            var aggregate = Aggregate(id: ids.next(), name: name, createdAt: ManualWallClock.start)
            aggregate.metadata[Aggregate.zoneKey] = zone
            let number = try await store.insert(aggregate).number
            for host in hosts { try await change(number, .add(host)) }
            return number
        }

        @discardableResult
        func change(_ number: Int64, _ change: AggregateChange) async throws -> Aggregate {
            try await store.change(number, change, now: Self.later)
        }

        func zones() async throws -> [HostName: String] {
            try await hosts.hosts().reduce(into: [:]) { $0[$1.record.name] = $1.record.availabilityZone }
        }
    }

    package static let cases: [Case] = [
        Case(name: "an aggregate comes back as it was stored and changed") { bench in
            let aggregate = Aggregate(
                id: bench.ids.next(), name: "a", metadata: ["k": "v"], createdAt: ManualWallClock.start)
            var stored = try await bench.store.insert(aggregate)
            #expect(stored.number > 0)
            #expect(try await bench.store.aggregate(stored.number) == stored)
            stored.name = "b"
            stored.metadata = ["l": "w"]
            stored.updatedAt = Bench.later
            try await bench.change(stored.number, .describe(name: "b", zone: nil))
            #expect(try await bench.change(stored.number, .setMetadata(["k": nil, "l": "w", "m": nil])) == stored)
            #expect(try await bench.store.aggregates() == [stored])
            try await bench.store.deleteAggregate(stored.number)
            #expect(try await bench.store.aggregate(stored.number) == nil)
        },
        Case(name: "names are unique and numbers are never used again") { bench in
            let first = try await bench.aggregate("a")
            await #expect(throws: AggregateError.nameTaken("a")) { try await bench.aggregate("a") }
            let second = try await bench.aggregate("b")
            await #expect(throws: AggregateError.nameTaken("a")) {
                try await bench.change(second, .describe(name: "a", zone: nil))
            }
            try await bench.store.deleteAggregate(second)
            #expect(try await bench.aggregate("b") > second)
            #expect(try await bench.store.aggregates().map(\.number).first == first)
            await #expect(throws: AggregateError.notFound(second)) { try await bench.store.deleteAggregate(second) }
            await #expect(throws: AggregateError.notFound(second)) { try await bench.change(second, .add("north-1")) }
        },
        Case(name: "hosts of any cell come and go") { bench in
            let number = try await bench.aggregate("a", hosts: "south-2", "north-1")
            #expect(try await bench.store.aggregate(number)?.hosts == ["north-1", "south-2"])
            await #expect(throws: AggregateError.hostPresent("north-1")) {
                try await bench.change(number, .add("north-1"))
            }
            await #expect(throws: AggregateError.hostUnknown("x")) { try await bench.change(number, .add("x")) }
            await #expect(throws: AggregateError.hostAbsent("x")) { try await bench.change(number, .remove("x")) }
            await #expect(throws: AggregateError.notEmpty) { try await bench.store.deleteAggregate(number) }
            #expect(try await bench.change(number, .remove("south-2")).hosts == ["north-1"])
            let other = try await bench.aggregate("b", hosts: "north-1")
            try await bench.change(number, .remove("north-1"))
            #expect(try await bench.store.aggregate(other)?.hosts == ["north-1"])
        },
        Case(name: "a zone takes hosts of several cells and gives them back") { bench in
            let number = try await bench.aggregate("a", zone: "fast", hosts: "north-1", "south-1")
            #expect(
                try await bench.zones()
                    == ["north-1": "fast", "north-2": "north", "south-1": "fast", "south-2": "south"])
            try await bench.change(number, .describe(name: nil, zone: "faster"))
            #expect(try await bench.zones()["south-1"] == "faster")
            try await bench.change(number, .setMetadata([Aggregate.zoneKey: "fastest"]))
            #expect(try await bench.zones()["south-1"] == "fastest")
            try await bench.change(number, .remove("south-1"))
            #expect(try await bench.zones()["south-1"] == "south")
        },
        Case(name: "a host is in one zone at most") { bench in
            _ = try await bench.aggregate("a", zone: "fast", hosts: "north-1")
            let other = try await bench.aggregate("b", zone: "slow")
            await #expect(throws: AggregateError.zonesDiffer("north-1", ["fast"])) {
                try await bench.change(other, .add("north-1"))
            }
            let same = try await bench.aggregate("c", zone: "fast", hosts: "north-1")
            let plain = try await bench.aggregate("d", hosts: "north-1")
            for number in [same, plain] {
                await #expect(throws: AggregateError.zonesDiffer("north-1", ["fast"])) {
                    try await bench.change(number, .setMetadata([Aggregate.zoneKey: "slow"]))
                }
            }
            try await bench.change(plain, .setMetadata([Aggregate.zoneKey: "fast"]))
            try await bench.change(same, .remove("north-1"))
            #expect(try await bench.zones()["north-1"] == "fast")
        },
        Case(name: "servers keep their zone") { bench in
            let number = try await bench.aggregate("a", zone: "fast")
            await #expect(throws: AggregateError.occupied("south-2", from: "south", to: "fast", servers: 1)) {
                try await bench.change(number, .add("south-2"))
            }
            #expect(try await bench.store.aggregate(number)?.hosts == [])
            let same = try await bench.aggregate("b", zone: "south", hosts: "south-2", "south-1")
            await #expect(throws: AggregateError.occupied("south-2", from: "south", to: "fast", servers: 1)) {
                try await bench.change(same, .describe(name: "c", zone: "fast"))
            }
            #expect(try await bench.zones()["south-1"] == "south")
            #expect(try await bench.store.aggregate(same)?.name == "b")
            try await bench.change(same, .remove("south-2"))
            _ = try await bench.aggregate("d", hosts: "south-2")
        },
    ]
}

import FoundationEssentials
import MessageBus
import Primitives
import RabbitMQTransport
import TestSupport
import Testing

/// What the broker lets a host's agent and a cell's parent do, with the permissions that the deploy tool sets.
@Suite(.enabled(if: PrivateRabbitMQ.isInstalled, "\(PrivateRabbitMQ.missing)"), .timeLimit(.minutes(5)))
struct RabbitMQPermissionTests {
    private let name = "h1.north"

    private struct Cell {
        let vhost: PrivateRabbitMQ.VHost
        let control: RabbitMQConnection
        let host: RabbitMQConnection

        func close() async {
            await host.close()
            await control.close()
        }
    }

    private func makeCell() async throws -> Cell {
        let vhost = try await PrivateRabbitMQ.shared().createVHost()
        let control = try RabbitMQConnection(vhost.configuration())
        try await control.declare(.cell)
        try await control.declare(.host(name))
        try await control.declare(.host("h2.north"))
        let user = "\(vhost.name).\(CellPermissions.hostUser(name))"
        try await vhost.addUser(user, .host(name))
        return Cell(vhost: vhost, control: control, host: try RabbitMQConnection(vhost.configuration(user: user)))
    }

    private func publish(_ bus: RabbitMQConnection, _ address: BusAddress) async throws {
        try await bus.publish(
            BusMessages.envelope("report"), to: address, mandatory: true, timeout: BusMessages.timeout)
    }

    @Test func aHostReadsItsQueueAndReportsUnderItsKey() async throws {
        let cell = try await makeCell()
        let (commands, reports) = (Received(), Received())
        try await publish(cell.control, CellTopology.commandAddress(host: name))
        for kind in ["report", "heartbeat", "lifecycle"] {
            try await publish(cell.host, CellTopology.reportAddress(host: name, kind: kind))
        }
        try await cell.control.declare(.replies(asker: "c1"))
        try await publish(cell.host, CellTopology.replyAddress(host: name, asker: "c1"))
        let replies = Received()
        try await alongside({
            try await cell.host.consume(queue: CellTopology.hostQueue(name), prefetch: 1) { delivery in
                commands.add(delivery)
                return .acknowledge
            }
        }) {
            try await alongside({
                try await cell.control.consume(queue: CellTopology.conductorQueue, prefetch: 1) { delivery in
                    reports.add(delivery)
                    return .acknowledge
                }
            }) {
                try await alongside({
                    try await cell.control.consume(queue: "replies.c1", prefetch: 1) { delivery in
                        replies.add(delivery)
                        return .acknowledge
                    }
                }) {
                    try await eventually("all have arrived") {
                        commands.count == 1 && reports.count == 3 && replies.count == 1
                    }
                }
            }
        }
        #expect(
            reports.deliveries.compactMap { CellTopology.reportSource(routingKey: $0.routingKey)?.kind }
                == ["report", "heartbeat", "lifecycle"])
        await cell.close()
    }

    @Test(arguments: [
        BusAddress(exchange: "reports", routingKey: "host.h2_north.report"),
        BusAddress(exchange: "reports", routingKey: "host.h1_north"),
        BusAddress(exchange: "reports", routingKey: "host.h1_northern.report"),
        BusAddress(exchange: "reports", routingKey: "host.h1.north.report"),
        BusAddress(exchange: "reports", routingKey: "x.host.h1_north.report"),
        BusAddress(exchange: "commands", routingKey: "h2_north"),
        BusAddress(exchange: "commands", routingKey: "h1_north"),
        BusAddress(exchange: "events", routingKey: "host.h1_north.report"),
        BusAddress(exchange: "", routingKey: "conductor"),
        BusAddress(exchange: "", routingKey: "host.h2_north"),
        BusAddress(exchange: "", routingKey: "host.h1_north"),
        BusAddress(exchange: "amq.topic", routingKey: "host.h1_north.report"),
    ]) func aHostMayPublishNowhereElse(_ address: BusAddress) async throws {
        let cell = try await makeCell()
        await expectBusError("\(address)", { $0.refusalCode == 403 }) { try await publish(cell.host, address) }
        try await publish(cell.host, CellTopology.reportAddress(host: name, kind: "report"))
        await cell.close()
    }

    @Test func aHostMayNotReadWhatIsNotItsOwn() async throws {
        let cell = try await makeCell()
        for queue in ["host.h2_north", "conductor", "supervisor", "parent"] {
            await expectBusError(queue, { $0.refusalCode == 403 }) {
                try await cell.host.consume(queue: queue, prefetch: 1) { _ in .retry }
            }
        }
        await expectBusError("call", { $0.refusalCode == 403 }) {
            _ = try await cell.host.call(
                BusMessages.envelope("q"), queue: "supervisor", timeout: BusMessages.timeout)
        }
        await cell.close()
    }

    @Test func aHostMayDeclareAndBindNothing() async throws {
        let cell = try await makeCell()
        let attempts = [
            BusTopology(queues: [.init("mine")]),
            BusTopology(queues: [.init("mine", life: .exclusive)]),
            BusTopology(queues: [.init("host.h1_north", lengthLimit: 10_000)]),
            BusTopology(exchanges: [.init("mine", .topic)]),
            BusTopology(exchanges: [.init("reports", .topic)]),
            BusTopology(bindings: [.init(exchange: "reports", queue: "host.h1_north", pattern: "#")]),
            BusTopology(bindings: [.init(exchange: "commands", queue: "host.h1_north", pattern: "h2_north")]),
        ]
        for topology in attempts {
            await expectBusError("\(topology)", { $0.refusalCode == 403 }) {
                try await cell.host.declare(topology)
            }
        }
        await cell.close()
    }

    @Test func aParentCallsTheSupervisorAndReadsTheEvents() async throws {
        let cell = try await makeCell()
        let user = "\(cell.vhost.name).parent"
        try await cell.vhost.addUser(user, .parent)
        let parent = try RabbitMQConnection(cell.vhost.configuration(user: user))
        try await publish(cell.control, CellTopology.eventAddress(kind: "instance.updated"))
        let events = Received()
        try await alongside({
            try await cell.control.serve(queue: CellTopology.supervisorQueue, concurrency: 1) { $0 }
        }) {
            try await alongside({
                try await parent.consume(queue: CellTopology.parentQueue, prefetch: 1) { delivery in
                    events.add(delivery)
                    return .acknowledge
                }
            }) {
                let answer = try await parent.call(
                    BusMessages.envelope("get"), queue: CellTopology.supervisorQueue, timeout: BusMessages.timeout)
                #expect(answer.kind == "get")
                try await eventually("the event has arrived") { events.count == 1 }
            }
        }
        #expect(events.deliveries.first?.routingKey == "instance.updated")
        for exchange in ["commands", "reports", "events"] {
            await expectBusError(exchange, { $0.refusalCode == 403 }) {
                try await parent.publish("m", to: exchange, "h1_north")
            }
        }
        for queue in ["conductor", "supervisor", "host.h1_north"] {
            await expectBusError(queue, { $0.refusalCode == 403 }) {
                try await parent.consume(queue: queue, prefetch: 1) { _ in .retry }
            }
        }
        await expectBusError("declare", { $0.refusalCode == 403 }) {
            try await parent.declare(BusTopology(queues: [.init("mine")]))
        }
        await parent.close()
        await cell.close()
    }

    @Test func aCellsUserIsRefusedByAnotherCellsVirtualHost() async throws {
        let broker = try await PrivateRabbitMQ.shared()
        let (north, south) = (try await broker.createVHost(), try await broker.createVHost())
        let notices = Notices()
        let bus = try RabbitMQConnection(
            south.configuration(user: north.user, password: north.password), onNotice: notices.add)
        try await eventually("it is refused") { !notices.texts.isEmpty }
        await expectBusError("publish", { $0.refusalCode == 530 }) {
            try await bus.publish(
                BusMessages.envelope("m"), to: BusAddress(exchange: "", routingKey: "q"), mandatory: true,
                timeout: .seconds(1))
        }
        await bus.close()
    }
}

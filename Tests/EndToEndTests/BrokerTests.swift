import CloudHarness
import Deployer
import Foundation
import MessageBus
import Primitives
import RabbitMQTransport
import TestSupport
import Testing

extension EndToEndTests {
    /// Virtual hosts, and what the broker lets a compute host's user do in the cloud that runs.
    @Suite struct BrokerTests {
        @Test func thereIsOneVirtualHostACellWithItsOwnUsers() async throws {
            let ready = try await SharedCloud.ready()
            let names = try await management("vhosts").array?.compactMap { $0["name"]?.string } ?? []
            #expect(Set(names) == Set(ready.cells.map(\.resource)))
            let rights = try await management("permissions").array ?? []
            var vhosts: [String: Set<String>] = [:]
            for right in rights { vhosts[try right.text("user"), default: []].insert(try right.text("vhost")) }
            #expect(vhosts.values.allSatisfy { $0.count == 1 }, "\(vhosts)")
            for host in ready.hosts {
                let user = try await settings(of: host).text("bus.user")
                #expect(vhosts[user] == [try ready.leaf(of: host).resource])
            }
        }

        @Test func aHostReportsUnderItsOwnKeyAndNowhereElse() async throws {
            let ready = try await SharedCloud.ready()
            let host = try #require(ready.leaves.first?.hosts.first)
            let other = try #require(ready.leaves.first?.hosts.last)
            let bus = try await connect(host)
            // The conductor drops a kind that it does not know.
            try await publish(bus, CellTopology.reportAddress(host: host, kind: "probe"))
            let refused = [
                CellTopology.reportAddress(host: other, kind: "result"), CellTopology.commandAddress(host: host),
                CellTopology.commandAddress(host: other), CellTopology.eventAddress(kind: "cell.heartbeat"),
                BusAddress(exchange: "", routingKey: CellTopology.conductorQueue),
                BusAddress(exchange: "", routingKey: CellTopology.supervisorQueue),
                BusAddress(exchange: "", routingKey: CellTopology.hostQueue(other)),
                BusAddress(exchange: "", routingKey: CellTopology.hostQueue(host)),
                BusAddress(exchange: "amq.topic", routingKey: "host.\(host).result"),
            ]
            for address in refused {
                await expectBusError("\(address)", { $0.refusalCode == 403 }) { try await publish(bus, address) }
            }
            await bus.close()
        }

        @Test func aHostReadsItsOwnQueueAndNoOther() async throws {
            let ready = try await SharedCloud.ready()
            let host = try #require(ready.leaves.first?.hosts.first)
            let other = try #require(ready.leaves.first?.hosts.last)
            let bus = try await connect(host)
            for queue in [
                CellTopology.hostQueue(other), CellTopology.conductorQueue, CellTopology.supervisorQueue,
                CellTopology.parentQueue,
            ] {
                await expectBusError(queue, { $0.refusalCode == 403 }) {
                    try await bus.consume(queue: queue, prefetch: 1) { _ in .retry }
                }
            }
            await expectBusError("declare", { $0.refusalCode == 403 }) {
                try await bus.declare(BusTopology(queues: [.init("mine")]))
            }
            await bus.close()
            // Its own queue it may read: the agent does, and nobody beside it.
            try await until("the agent consumes its queue") {
                let vhost = try ready.leaf(of: host).resource
                let queue = try await management("queues/\(vhost)/\(CellTopology.hostQueue(host))")
                return queue["consumers"]?.integer == 1
            }
        }

        @Test func aHostIsRefusedByAnotherCellsVirtualHost() async throws {
            let ready = try await SharedCloud.ready()
            let host = try #require(ready.leaves.first?.hosts.first)
            for cell in ready.cells where try cell.path != ready.leaf(of: host).path {
                let bus = try await connect(host, vhost: cell.resource)
                await expectBusError(cell.resource, { $0.refusalCode == 530 || $0.refusalCode == 403 }) {
                    try await publish(bus, CellTopology.reportAddress(host: host, kind: "probe"))
                }
                await bus.close()
            }
        }

        private func settings(of host: String) async throws -> JSONValue {
            let ready = try await SharedCloud.ready()
            let file = try #require(try ready.process("compute-\(host)").configuration)
            return try JSONParser.parse(try SharedCloud.text(file))
        }

        private func connect(_ host: String, vhost: String? = nil) async throws -> RabbitMQConnection {
            let bus = try await settings(of: host)
            return try RabbitMQConnection(
                RabbitMQConfiguration(
                    host: try bus.text("bus.host"), port: try bus.integer("bus.port"),
                    vhost: try vhost ?? bus.text("bus.vhost"), user: try bus.text("bus.user"),
                    password: .fixed(Secret(try SharedCloud.text(try bus.text("bus.passwordFile")))),
                    connectionName: "end-to-end test"))
        }

        private func publish(_ bus: RabbitMQConnection, _ address: BusAddress) async throws {
            try await bus.publish(
                BusMessages.envelope("probe"), to: address, mandatory: true, timeout: .seconds(10))
        }

        private func management(_ path: String) async throws -> JSONValue {
            let ready = try await SharedCloud.ready()
            let login = "\(ready.broker.user):\(try SharedCloud.text(ready.broker.passwordFile))"
            let client = APIClient(
                url: "http://127.0.0.1:\(ready.managementPort)/api/",
                headers: ["authorization": "Basic \(Data(login.utf8).base64EncodedString())"])
            return try await client.get(path)
        }
    }
}

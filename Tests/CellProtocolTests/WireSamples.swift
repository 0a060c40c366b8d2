import CellProtocol
import CloudModel
import FoundationEssentials
import MessageBus
import Primitives

/// A value of every message that crosses the bus, with something in every field.
///
/// The switches below have no `default`: a new case does not compile until somebody has asked what a process of the
/// release before does when it is sent one. It can't read it, so new cases are sent only to those that say that they know
/// them.
struct WireSample: Sendable {
    let name: String
    let encode: @Sendable () throws -> Data
    /// Reads a message as today's program does and writes it again.
    let rewrite: @Sendable (Data) throws -> Data

    init<Message: Codable & Sendable>(_ name: String, _ message: Message) {
        self.name = name
        encode = { try JSONEncoder().encode(message) }
        rewrite = { try JSONEncoder().encode(try JSONDecoder().decode(Message.self, from: $0)) }
    }

    /// A reply that has a frame of its own is recorded as the base64 text of it.
    init<Request: CellRequest>(framed _: Request.Type, _ reply: Request.Reply) {
        name = Request.kind + ".reply"
        encode = { try JSONEncoder().encode(try Request.encode(reply)) }
        rewrite = {
            let body = try JSONDecoder().decode(Data.self, from: $0)
            return try JSONEncoder().encode(try Request.encode(try Request.decode(body)))
        }
    }

    static let date = Date(timeIntervalSince1970: 1_700_000_000.25)

    static func identifier(_ digit: UInt8) -> UUID {
        UUID(uuid: (0, 0, 0, 0, 0, 0, 64, 0, 128, 0, 0, 0, 0, 0, 0, digit))
    }

    static let server = ServerID(identifier(1))
    private static let north = CellPath("/north") ?? .root

    static let all: [WireSample] = requests + events + agents + sagas

    private static let requests: [WireSample] =
        [
            WireSample("envelope", envelope),
            WireSample(BuildRequest.kind, BuildRequest(builds: [build])),
            WireSample(
                BuildRequest.kind + ".reply",
                BuildRequest.Reply(accepted: [server], refused: [.init(id: server, reason: "no room")])),
            WireSample(GetRequest.kind, GetRequest(ids: [server], view: view)),
            WireSample(
                framed: GetRequest.self,
                GetRequest.Reply(rows: [.init(id: server, version: 7, rendered: Data("{}".utf8))])),
            WireSample(ConsoleOutputRequest.kind, ConsoleOutputRequest(id: server, lines: 10)),
            WireSample(EventsRequest.kind, EventsRequest(after: 5)),
            WireSample(
                EventsRequest.kind + ".reply",
                EventsRequest.Reply(events: [event(.instanceDeleted(deletion))], newest: 9)),
            WireSample(PingRequest.kind, PingRequest()),
            WireSample(PingRequest.kind + ".reply", PingRequest.Reply()),
            WireSample(InventoryRequest.kind, InventoryRequest(after: server)),
            WireSample(
                InventoryRequest.kind + ".reply",
                InventoryRequest.Reply(servers: [InstanceSummary(instance)], sequence: 5, isLast: true)),
            WireSample(AuditRequest.kind, AuditRequest()),
            WireSample(AuditRequest.kind + ".reply", DirectoryAudit(sequence: 5, servers: 2, digest: 77)),
            WireSample(HostsRequest.kind, HostsRequest()),
            WireSample(HostsRequest.kind + ".reply", HostsRequest.Reply(hosts: [host])),
            WireSample(SetHostRequest.kind, SetHostRequest(host: "n1", isEnabled: false, reason: "repair")),
            WireSample(SetHostRequest.kind + ".reply", SetHostRequest.Reply.changed(host)),
            WireSample(SetHostRequest.kind + ".reply.not-found", SetHostRequest.Reply.notFound),
            WireSample(CellFailure.kind, CellFailure(message: "no database")),
        ]
        + actions.map { action in
            WireSample(
                "\(ActRequest.kind).\(name(of: action))",
                ActRequest(id: server, action: action, view: view, metadataLimit: 128))
        }
        + actReplies.map { WireSample("\(ActRequest.kind).reply.\(name(of: $0))", $0) }
        + consoleReplies.map { WireSample("\(ConsoleOutputRequest.kind).reply.\(name(of: $0))", $0) }

    private static let events: [WireSample] =
        [WireSample(CellHeartbeat.kind, heartbeat)]
        + cellEvents.map { WireSample("\(SequencedEvent.kind).\(name(of: $0))", event($0)) }

    private static let agents: [WireSample] =
        [
            WireSample(
                AgentHeartbeat.kind,
                AgentHeartbeat(
                    host: "n1", providerID: ProviderID(identifier(6)), availabilityZone: "north", sentAt: date,
                    inventory: host.inventory, guests: [guest])),
            WireSample(
                AgentHoldings.kind,
                AgentHoldings(host: "n1", sentAt: date, servers: [server], ports: ["0123456789a"])),
            WireSample(GuestLifecycleReport.kind, GuestLifecycleReport(guest: guest, seenAt: date)),
            WireSample(
                AgentQuery.kind,
                AgentQuery(
                    queryID: identifier(7), asker: "a1", instanceID: server, question: .consoleOutput(lines: 10))),
        ]
        + works.map {
            WireSample(
                "\(AgentCommand.kind).\(name(of: $0))", AgentCommand(key: key, instanceID: server, epoch: 2, work: $0))
        }
        + outcomes.map {
            WireSample("\(StepResult.kind).\(name(of: $0))", StepResult(key: key, instanceID: server, outcome: $0))
        }
        + answers.map {
            WireSample("\(AgentAnswer.kind).\(name(of: $0))", AgentAnswer(queryID: identifier(7), answer: $0))
        }
}

// MARK: Parts

extension WireSample {
    private static let envelope: Envelope = {
        var envelope = Envelope(
            messageID: identifier(8), requestID: "req-1", traceParent: "00-1-2-01", deadline: date, sender: "api",
            caller: Caller(userID: "u", projectID: "p", roles: ["admin"]), kind: PingRequest.kind, body: Data("{}".utf8)
        )
        envelope.idempotencyKey = "key"
        return envelope
    }()

    private static let view = ServerViewContext(
        detail: .single, microversion: 90, computeURL: "https://cloud:8774/compute/v2.1", isAdmin: true)

    private static let build = BuildSpecification(
        instance: instance, requestID: "req-1", publicKey: "ssh-ed25519 AAAA",
        image: ImageTicket(imageID: ImageID(identifier(2)), token: "t", expiresAt: date))

    private static let deletion = InstanceDeletion(id: server, version: 9, deletedAt: date)
    private static let guest = GuestReport(id: server, power: .running)
    private static let key = StepKey(saga: SagaID(identifier(9)), step: "spawn", generation: 3)

    private static let heartbeat = CellHeartbeat(
        cell: north, version: "0.1.0+abc", sentAt: date, newestSequence: 5, databaseMilliseconds: 1.5,
        isDatabaseUp: true, conductorsUp: 1, hostsUp: 2, hosts: 2, supervisor: "control-1-1")

    private static let host: HostRecord = {
        var host = HostRecord(
            name: "n1", id: ProviderID(identifier(6)), cell: north, availabilityZone: "north",
            inventory: HostInventory(
                vcpus: 8, memoryMiB: 16384, diskGiB: 100, hypervisorType: "QEMU", hypervisorVersion: 9_000_000,
                hypervisorHostname: "n1", hostIP: "10.0.0.1", cpuModel: "x", agentVersion: "0.1.0+abc"),
            seenAt: date)
        host.isEnabled = false
        host.disabledReason = "repair"
        return host
    }()

    private static let instance: Instance = {
        var instance = Instance(
            id: server, projectID: "11111111111111111111111111111111", userID: "22222222222222222222222222222222",
            name: "web 1", hostname: "web-1",
            flavor: Flavor(
                id: "f1", name: "m1.small", vcpus: 2, memoryMiB: 2048, diskGiB: 20, ephemeralGiB: 1, swapMiB: 512,
                description: "small", extraSpecs: ["hw:cpu_policy": "shared"]),
            image: ImageReference(
                id: ImageID(identifier(2)), name: "guest", sizeBytes: 1024, sha512: "00", diskFormat: "raw",
                properties: ["os_distro": "debian"]),
            reservationID: "r-abcdefgh", createdAt: date)
        instance.state = ServerState(vm: .active, task: .poweringOff, power: .running)
        instance.description = "a server"
        instance.keyName = "key"
        instance.availabilityZone = "north"
        instance.pinnedAvailabilityZone = "north"
        instance.schedulerHints = .object(["group": .string("g")])
        instance.host = "n1"
        instance.metadata = ["role": "web"]
        instance.tags = ["blue"]
        instance.interfaces = [interface]
        instance.securityGroups = ["default"]
        instance.userData = "IyEvYmluL3No"
        instance.accessIPv4 = "192.0.2.1"
        instance.accessIPv6 = "2001:db8::1"
        instance.isLocked = true
        instance.lockedReason = "audit"
        instance.launchedAt = date
        instance.terminatedAt = date
        instance.fault = InstanceFault(message: "no", details: "at all", createdAt: date)
        return instance
    }()

    private static let interface = NetworkInterface(
        portID: PortID(identifier(3)), networkID: NetworkID(identifier(4)), networkName: "private",
        macAddress: "fa:16:3e:00:00:01",
        addresses: [
            .init(
                subnetID: SubnetID(identifier(5)), address: "10.0.0.5", prefixLength: 24, gateway: "10.0.0.1",
                nameServers: ["10.0.0.2"])
        ],
        securityRules: [
            SecurityRule(
                direction: .ingress, etherType: "IPv4", ipProtocol: "tcp", portMinimum: 22, portMaximum: 22,
                remotePrefix: "10.0.0.0/8")
        ], tag: "t")

    private static func event(_ event: CellEvent) -> SequencedEvent {
        SequencedEvent(cell: north, sequence: 5, event: event)
    }
}

// MARK: Cases

extension WireSample {
    private static let cellEvents: [CellEvent] = [
        .instanceChanged(InstanceSummary(instance)),
        .buildFailed(BuildFailure(id: server, epoch: 2, host: "n1", reason: "no room")),
        .instanceDeleted(deletion), .hostChanged(host),
        .cellChanged(
            CellStanding(path: north, health: .down, reason: "silent", since: date, heartbeat: nil)),
        .cellRemoved(north),
    ]
    private static func name(of event: CellEvent) -> String {
        switch event {
        case .instanceChanged: "instanceChanged"
        case .buildFailed: "buildFailed"
        case .instanceDeleted: "instanceDeleted"
        case .hostChanged: "hostChanged"
        case .cellChanged: "cellChanged"
        case .cellRemoved: "cellRemoved"
        }
    }

    private static let works: [AgentWork] = {
        let guest = GuestSpecification(build)
        return [
            .spawn(guest), .destroy, .start(guest), .stop(graceSeconds: 60),
            .reboot(guest, hard: true, graceSeconds: 60), .release(ports: [interface.portID]),
        ]
    }()
    private static func name(of work: AgentWork) -> String {
        switch work {
        case .spawn: "spawn"
        case .destroy: "destroy"
        case .start: "start"
        case .stop: "stop"
        case .reboot: "reboot"
        case .release: "release"
        }
    }

    private static let outcomes: [StepResult.Outcome] = [
        .succeeded(power: .running), .failed(reason: "no", details: "at all", isPermanent: true),
    ]
    private static func name(of outcome: StepResult.Outcome) -> String {
        switch outcome {
        case .succeeded: "succeeded"
        case .failed: "failed"
        }
    }

    private static let answers: [AgentAnswer.Answer] = [.consoleOutput("hello"), .notFound, .failed(reason: "no")]
    private static func name(of answer: AgentAnswer.Answer) -> String {
        switch answer {
        case .consoleOutput: "consoleOutput"
        case .notFound: "notFound"
        case .failed: "failed"
        }
    }

    private static let actions: [ServerAction] = [
        .start, .stop, .reboot(hard: true), .delete,
        .update(
            ServerChanges(
                name: "n", description: .set(nil), accessIPv4: .set("192.0.2.1"), accessIPv6: .keep, diskConfig: "AUTO",
                hostname: "h")),
        .replaceMetadata(["a": "1"]), .mergeMetadata(["a": "1"]), .removeMetadata(key: "a"), .lock(reason: "r"),
        .unlock,
    ]
    private static func name(of action: ServerAction) -> String {
        switch action {
        case .start: "start"
        case .stop: "stop"
        case .reboot: "reboot"
        case .delete: "delete"
        case .update: "update"
        case .replaceMetadata: "replaceMetadata"
        case .mergeMetadata: "mergeMetadata"
        case .removeMetadata: "removeMetadata"
        case .lock: "lock"
        case .unlock: "unlock"
        }
    }

    private static let actReplies: [ActRequest.Reply] = [
        .accepted(rendered: Data("{}".utf8)), .conflict(message: "m"), .notFound, .badRequest(message: "m"), .locked,
    ]
    private static func name(of reply: ActRequest.Reply) -> String {
        switch reply {
        case .accepted: "accepted"
        case .conflict: "conflict"
        case .notFound: "notFound"
        case .badRequest: "badRequest"
        case .locked: "locked"
        }
    }

    private static let consoleReplies: [ConsoleOutputRequest.Reply] = [
        .output("hello"), .notFound, .conflict(message: "m"), .unavailable(message: "m"),
    ]
    private static func name(of reply: ConsoleOutputRequest.Reply) -> String {
        switch reply {
        case .output: "output"
        case .notFound: "notFound"
        case .conflict: "conflict"
        case .unavailable: "unavailable"
        }
    }
}

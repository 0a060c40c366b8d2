package import CloudModel
package import FoundationEssentials
package import Primitives

// Conductor and supervisor to agent: `commands` with the host's key. Agent back: `reports` with `host.<key>.<kind>`.
// Agents may write nowhere else, so an answer to a query goes to `host.<key>.reply.<asker>`.

package enum SagaSubject: Sendable {}
package typealias SagaID = Identifier<SagaSubject>

/// One step of one attempt of one saga. The agent remembers finished keys on its disk, so a repeat is harmless.
package struct StepKey: Codable, Sendable, Hashable, CustomStringConvertible {
    package var saga: SagaID
    package var step: String
    package var generation: Int
    package init(saga: SagaID, step: String, generation: Int) {
        self.saga = saga
        self.step = step
        self.generation = generation
    }
    package var description: String { "\(saga)/\(step)/\(generation)" }
}

package struct AgentCommand: Codable, Sendable, Equatable {
    package static let kind = "agent.command"
    package var key: StepKey
    package var instanceID: ServerID
    /// Build attempt; the agent refuses one older than it has seen for this server.
    package var epoch: Int
    package var work: AgentWork
    /// Grows from one saga of a server to the next, so that a command that comes late undoes nothing of a newer one. Absent
    /// in commands of no saga, and from earlier releases.
    package var turn: Int64?
    package init(key: StepKey, instanceID: ServerID, epoch: Int, work: AgentWork, turn: Int64? = nil) {
        self.key = key
        self.instanceID = instanceID
        self.epoch = epoch
        self.work = work
        self.turn = turn
    }
}

package enum AgentWork: Codable, Sendable, Equatable {
    /// Image, disk, network, config drive, define, start: all that makes a guest run.
    case spawn(GuestSpecification)
    /// Undo whatever of the guest is here; success when nothing is.
    case destroy
    case start(GuestSpecification)
    /// Graceful for `graceSeconds`, then by force.
    case stop(graceSeconds: Int)
    case reboot(GuestSpecification, hard: Bool, graceSeconds: Int)
    /// Take devices and addresses of ports away that no server here has. Sent only to agents that told of such ports.
    case release(ports: [PortID])
}

/// A guest as its host must realise it.
package struct GuestSpecification: Codable, Sendable, Equatable {
    package var id: ServerID
    package var name: String
    package var hostname: String
    package var projectID: ProjectID
    package var userID: UserID
    package var vcpus: Int
    package var memoryMiB: Int
    /// Size of the root disk; 0 takes the image's own size.
    package var diskGiB: Int
    package var image: ImageReference?
    package var ticket: ImageTicket?
    package var interfaces: [NetworkInterface]
    package var keyName: String?
    package var publicKey: String?
    /// Base64 text.
    package var userData: String?
    package var metadata: [String: String]
    package var availabilityZone: String
    package var launchIndex: Int

    package init(_ specification: BuildSpecification) {
        let instance = specification.instance
        id = instance.id
        name = instance.name
        hostname = instance.hostname
        projectID = instance.projectID
        userID = instance.userID
        vcpus = instance.flavor.vcpus
        memoryMiB = instance.flavor.memoryMiB
        diskGiB = instance.flavor.diskGiB
        image = instance.image
        ticket = specification.image
        interfaces = instance.interfaces
        keyName = instance.keyName
        publicKey = specification.publicKey
        userData = instance.userData
        metadata = instance.metadata
        availabilityZone = instance.availabilityZone ?? "nova"
        launchIndex = instance.launchIndex
    }
}

/// How a step ended.
package struct StepResult: Codable, Sendable, Equatable {
    package static let kind = "agent.step-result"

    package enum Outcome: Codable, Sendable, Equatable {
        /// `power` is the guest's state after the step.
        case succeeded(power: PowerState)
        /// `reason` is safe for users; `details` for operators. A permanent failure is not worth a repeat here.
        case failed(reason: String, details: String, isPermanent: Bool)
    }
    package var key: StepKey
    package var instanceID: ServerID
    package var outcome: Outcome
    package init(key: StepKey, instanceID: ServerID, outcome: Outcome) {
        self.key = key
        self.instanceID = instanceID
        self.outcome = outcome
    }
}

/// The agent's pulse: who it is, what it has, what it runs. The first one makes the host known; there is no discover step.
package struct AgentHeartbeat: Codable, Sendable, Equatable {
    package static let kind = "agent.heartbeat"
    package var host: HostName
    /// Made once by the agent and kept on its disk.
    package var providerID: ProviderID
    package var availabilityZone: String
    package var sentAt: Date
    /// Nil when it is as in the last one that carried it; the first after a start and one a minute carry it.
    package var inventory: HostInventory?
    /// All guests of ours that the hypervisor has, with the inventory.
    package var guests: [GuestReport]?
    package init(
        host: HostName, providerID: ProviderID, availabilityZone: String, sentAt: Date, inventory: HostInventory?,
        guests: [GuestReport]?
    ) {
        self.host = host
        self.providerID = providerID
        self.availabilityZone = availabilityZone
        self.sentAt = sentAt
        self.inventory = inventory
        self.guests = guests
    }
}

package struct GuestReport: Codable, Sendable, Equatable {
    package var id: ServerID
    package var power: PowerState
    package init(id: ServerID, power: PowerState) {
        self.id = id
        self.power = power
    }
}

/// A guest changed by itself (a shutdown from inside, a crash, a start by hand).
package struct GuestLifecycleReport: Codable, Sendable, Equatable {
    package static let kind = "agent.lifecycle"
    package var guest: GuestReport
    package var seenAt: Date
    package init(guest: GuestReport, seenAt: Date) {
        self.guest = guest
        self.seenAt = seenAt
    }
}

/// A question whose answer is not kept: lost with its asker, asked again by its user.
package struct AgentQuery: Codable, Sendable, Equatable {
    package static let kind = "agent.query"
    package enum Question: Codable, Sendable, Equatable {
        case consoleOutput(lines: Int?)
    }
    package var queryID: UUID
    /// The last word of the reply's routing key: `host.<key>.reply.<asker>`.
    package var asker: String
    package var instanceID: ServerID
    package var question: Question
    package init(queryID: UUID, asker: String, instanceID: ServerID, question: Question) {
        self.queryID = queryID
        self.asker = asker
        self.instanceID = instanceID
        self.question = question
    }
}

package struct AgentAnswer: Codable, Sendable, Equatable {
    package static let kind = "agent.answer"
    package enum Answer: Codable, Sendable, Equatable {
        case consoleOutput(String)
        case notFound
        case failed(reason: String)
    }
    package var queryID: UUID
    package var answer: Answer
    package init(queryID: UUID, answer: Answer) {
        self.queryID = queryID
        self.answer = answer
    }
}

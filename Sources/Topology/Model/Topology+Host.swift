package import CloudModel

extension Topology {
    /// One machine that the tool reaches by SSH.
    package struct Host: Sendable, Equatable, Codable {
        package static let defaultAvailabilityZone = "nova"

        package var name: HostName
        /// IP address or DNS name by which other hosts and the tool reach it. `nil` only in a lab before
        /// ``Topology/withLabAddresses(existing:)`` has given one.
        package var address: String?
        package var ssh: SSH
        package var hypervisor: Hypervisor
        /// What the scheduler may use instead of what the agent finds.
        package var capacity: Capacity
        package var availabilityZone: String
        package var labels: [String: String]

        package init(
            name: HostName, address: String? = nil, ssh: SSH = SSH(), hypervisor: Hypervisor = Hypervisor(),
            capacity: Capacity = Capacity(), availabilityZone: String = defaultAvailabilityZone,
            labels: [String: String] = [:]
        ) {
            self.name = name
            self.address = address
            self.ssh = ssh
            self.hypervisor = hypervisor
            self.capacity = capacity
            self.availabilityZone = availabilityZone
            self.labels = labels
        }

        /// The address if known, else the name.
        package var reachableAt: String { address ?? name.text }
    }

    /// How the tool logs in. Host keys are always checked.
    package struct SSH: Sendable, Hashable, Codable {
        package static let defaultUser = "root"
        package static let defaultPort = 22

        package var user: String
        package var port: Int
        /// Private key file; OpenSSH's own choice (agent, default keys) when absent.
        package var identityFile: String?
        /// `[user@]host[:port]` of a host to go through, as `ssh -J` takes it.
        package var jump: String?

        package init(
            user: String = defaultUser, port: Int = defaultPort, identityFile: String? = nil, jump: String? = nil
        ) {
            self.user = user
            self.port = port
            self.identityFile = identityFile
            self.jump = jump
        }
    }

    package struct Hypervisor: Sendable, Hashable, Codable {
        package enum Driver: String, Sendable, Codable, CaseIterable { case libvirt, simulated }

        /// `auto` is KVM where the processor really offers it, else emulation.
        package enum VirtType: String, Sendable, Codable, CaseIterable { case auto, kvm, qemu }

        package static let defaultURI = "qemu:///system"

        package var driver: Driver
        package var virtType: VirtType
        /// libvirt's connection URI.
        package var uri: String

        package init(driver: Driver = .libvirt, virtType: VirtType = .auto, uri: String = defaultURI) {
            self.driver = driver
            self.virtType = virtType
            self.uri = uri
        }
    }

    /// Overrides of what a host offers; `nil` leaves it to the agent.
    package struct Capacity: Sendable, Hashable, Codable {
        package var vcpus: Int?
        package var memoryMiB: Int?
        package var diskGiB: Int?

        package init(vcpus: Int? = nil, memoryMiB: Int? = nil, diskGiB: Int? = nil) {
            self.vcpus = vcpus
            self.memoryMiB = memoryMiB
            self.diskGiB = diskGiB
        }

        package var isEmpty: Bool { vcpus == nil && memoryMiB == nil && diskGiB == nil }
    }
}

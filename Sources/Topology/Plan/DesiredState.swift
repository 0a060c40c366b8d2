/// Every resource that a topology means, in an order of making.
///
/// A plan of a large cloud looks at most of it without writing it down: see ``PlanScope``.
package struct DesiredState: Sendable, Equatable {
    /// What the desired state rests on besides the topology, as digests (lower-case SHA-256).
    package struct Inputs: Sendable, Equatable {
        /// Our executables by name.
        package var binaries: [String: String]
        /// Values of secrets, each followed by a line feed, as their files hold them.
        package var secrets: [SecretName: String]
        /// Certificates that must be renewed, with the days that they have left.
        package var ending: [SecretName: Int]
        /// Texts of the files by which existing servers are verified (``ProcessLayout/AuthorityFile/source``).
        package var authorities: [String: String]

        package init(
            binaries: [String: String], secrets: [SecretName: String], ending: [SecretName: Int] = [:],
            authorities: [String: String] = [:]
        ) {
            self.binaries = binaries
            self.secrets = secrets
            self.ending = ending
            self.authorities = authorities
        }
    }

    /// A cloud so large that its resources are written down only where somebody needs them.
    struct Large: Sendable, Equatable {
        let topology: Topology
        let inputs: Inputs
    }

    private enum Storage: Sendable, Equatable {
        case written([Resource])
        case large(Large)
    }

    /// Hosts from which on a cloud is large: its resources would take a gigabyte and more.
    package static let largeFrom = 10_000

    private let storage: Storage

    /// What `topology`, whose hosts have their addresses, means with these inputs.
    /// - Parameter largeFrom: hosts from which on resources are not kept.
    package init(_ topology: Topology, inputs: Inputs, largeFrom: Int = largeFrom) {
        if topology.hosts.count < largeFrom {
            storage = .written(Self.written(topology, inputs))
        } else {
            storage = .large(Large(topology: topology, inputs: inputs))
        }
    }

    /// For tests and for removing everything.
    package init(resources: [Resource]) { storage = .written(resources) }

    /// Each after everything that it depends on. In a large cloud they are written down anew each time.
    package var resources: [Resource] {
        switch storage {
        case .written(let resources): resources
        case .large(let large): Self.written(large.topology, large.inputs)
        }
    }

    var large: Large? {
        if case .large(let large) = storage { large } else { nil }
    }

    static func written(_ topology: Topology, _ inputs: Inputs) -> [Resource] {
        var builder = DesiredStateBuilder(topology: topology, inputs: inputs)
        return builder.build()
    }
}

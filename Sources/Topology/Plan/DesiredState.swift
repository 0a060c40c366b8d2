/// Every resource that a topology means, in an order of making.
package struct DesiredState: Sendable, Equatable {
    /// What the desired state rests on besides the topology, as digests (lower-case SHA-256).
    package struct Inputs: Sendable, Equatable {
        /// Our executables by name.
        package var binaries: [String: String]
        /// Values of secrets, each followed by a line feed, as their files hold them.
        package var secrets: [SecretName: String]
        /// Certificates that must be renewed, with the days that they have left.
        package var ending: [SecretName: Int]

        package init(
            binaries: [String: String], secrets: [SecretName: String], ending: [SecretName: Int] = [:]
        ) {
            self.binaries = binaries
            self.secrets = secrets
            self.ending = ending
        }
    }

    /// Each after everything that it depends on.
    package var resources: [Resource]

    /// What `topology`, whose hosts have their addresses, means with these inputs.
    /// - Throws: only when a configuration can't be written as JSON, which no topology that was read brings about.
    package init(_ topology: Topology, inputs: Inputs) throws {
        var builder = DesiredStateBuilder(topology: topology, inputs: inputs)
        resources = try builder.build()
    }

    /// For tests and for removing everything.
    package init(resources: [Resource]) { self.resources = resources }
}

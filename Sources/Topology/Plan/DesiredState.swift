/// Every resource that a topology means, in an order of making.
package struct DesiredState: Sendable, Equatable {
    /// What the desired state rests on besides the topology, as digests (lower-case SHA-256).
    package struct Inputs: Sendable, Equatable {
        /// Our executables by name.
        package var binaries: [String: String]
        /// Values of secrets, each followed by a line feed, as their files hold them.
        package var secrets: [SecretName: String]

        package init(binaries: [String: String], secrets: [SecretName: String]) {
            self.binaries = binaries
            self.secrets = secrets
        }
    }

    package var resources: [Resource]

    /// For tests and for removing everything.
    package init(resources: [Resource]) { self.resources = resources }
}

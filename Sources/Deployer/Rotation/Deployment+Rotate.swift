import CloudModel
import FoundationEssentials
import Primitives
package import Topology

/// What a rotation did.
package struct RotationReport: Sendable, Equatable {
    package var secrets: [SecretName]
    package var certificates: [SecretName]
}

/// Secrets and certificates that are replaced while requests run.
extension Deployment {
    /// Replaces the passwords of a scope, or its certificates, without a restart of anything.
    ///
    /// May be repeated after a failure: a value that was begun to be used is used to the end.
    package func rotate(
        _ scope: SecretRotation.Scope, certificates: Bool, stop: StopRequest
    ) async throws -> RotationReport {
        guard FileSystem.exists(settings.stateFolder) else {
            throw RotationFailure("there is no cloud yet: apply first")
        }
        let lock = try ExclusiveLock(path: settings.lockPath, command: "cellwright rotate", now: wallClock.now())
        let report = try await withHosts { hosts -> RotationReport in
            if let (host, why) = hosts.unreachable.sorted(by: { $0.key < $1.key }).first {
                throw RotationFailure("host \(host) is unreachable (\(why)); who cannot be told must not be shut out")
            }
            return certificates
                ? try await rotateCertificates(scope, hosts: hosts, stop: stop)
                : try await rotateSecrets(scope, hosts: hosts, stop: stop)
        }
        withExtendedLifetime(lock) {}
        return report
    }

    // MARK: Passwords

    private func rotateSecrets(
        _ scope: SecretRotation.Scope, hosts: HostPool, stop: StopRequest
    ) async throws -> RotationReport {
        let layout = ProcessLayout(settings.topology)
        let rotation = SecretRotation(settings.topology, layout: layout, scope: scope)
        guard !rotation.replacements.isEmpty else { throw RotationFailure("there is nothing of that name to rotate") }
        let performer = performer(hosts)
        var done: [SecretName] = []
        for replacement in rotation.replacements {
            // A safe point: the last one is complete, and the next has not begun.
            if stop.isRequested { throw RotationFailure("stopped after \(done.count) secrets; run it again to go on") }
            try await reporter.step("replace \(replacement.secret)", cell: replacement.cell.description) {
                try await replace(replacement, layout: layout, hosts: hosts, performer: performer)
            }
            done.append(replacement.secret)
        }
        try await verify(rotation, hosts: hosts)
        return RotationReport(secrets: done, certificates: [])
    }

    private func replace(
        _ replacement: SecretRotation.Replacement, layout: ProcessLayout, hosts: HostPool, performer: ActionPerformer
    ) async throws {
        guard let old = try secrets.existing(replacement.secret) else {
            throw RotationFailure("\(replacement.secret) has no value yet: apply first")
        }
        let new = try secrets.value(replacement.secret.next)
        try await write([old, new], replacement, hosts: hosts, performer: performer)
        try await performer.give(new, to: replacement.holder)
        // From here on an apply takes the new value for the right one.
        try secrets.set(replacement.secret, new)
        try secrets.remove(replacement.secret.next)
        try await write([new], replacement, hosts: hosts, performer: performer)
    }

    private func write(
        _ values: [Secret], _ replacement: SecretRotation.Replacement, hosts: HostPool, performer: ActionPerformer
    ) async throws {
        let content = Data(values.map { $0.reveal() + "\n" }.joined().utf8)
        _ = try await parallelMap(replacement.readers, limit: 8) { reader in
            try await hosts.connection(reader.host).check(
                "write \(reader.path)",
                HostScript.file(path: reader.path, mode: "0600", owner: reader.owner, content: content))
        }
        guard replacement.isInMapping, let mapping = try mapping(of: replacement.cell) else { return }
        try await performer.map(mapping, passwords: values)
    }

    /// The cell's entry at its parent, as the topology wants it.
    private func mapping(of cell: CellPath) throws -> ResourceSpecification.CellMapping? {
        let desired = DesiredState(settings.topology, inputs: .init(binaries: [:], secrets: [:]))
        for resource in desired.resources {
            if case .cellMapping(let mapping) = resource.specification, mapping.child == cell { return mapping }
        }
        return nil
    }

    /// Looks at the servers: each must hold the new value, and so refuse the old one.
    private func verify(_ rotation: SecretRotation, hosts: HostPool) async throws {
        try await reporter.step("verify that old secrets are refused") {
            let names = Set(
                rotation.replacements.map { replacement -> String in
                    switch replacement.holder {
                    case .database(_, let role): role
                    case .broker(_, let user): user.name
                    }
                })
            let survey = try await survey(hosts, inputs: try await inputs(creating: false))
            let wrong = survey.plan.actions.filter {
                [.databaseRole, .brokerUser].contains($0.resource.kind) && names.contains($0.resource.name)
            }
            guard wrong.isEmpty else {
                throw RotationFailure("not as it should be: \(wrong.map(\.id).joined(separator: ", "))")
            }
        }
    }

    // MARK: Certificates

    private func rotateCertificates(
        _ scope: SecretRotation.Scope, hosts: HostPool, stop: StopRequest
    ) async throws -> RotationReport {
        let layout = ProcessLayout(settings.topology)
        let wanted = SecretRotation.certificates(of: layout, scope: scope)
        guard !wanted.isEmpty else { throw RotationFailure("there is no certificate of that name to rotate") }
        try await reporter.step("make \(wanted.count) certificates") { try certificates.replace(wanted) }
        let survey: Survey = try await reporter.step("look at the hosts") {
            try await self.survey(hosts, inputs: try await inputs(creating: false))
        }
        let paths = Set(wanted.map(\.path))
        let servers = Set(layout.databaseCertificates.values.map(\.path))
        // PostgreSQL reads its certificate when it is reloaded; its settings say which one it has read.
        let settingsFile = "\(DebianFiles.postgresFolder)/conf.d/cellwright.conf"
        let actions = survey.plan.actions.filter { action in
            switch action.resource.kind {
            case .file:
                paths.contains(action.resource.name)
                    || (action.resource.name == settingsFile && !servers.isDisjoint(with: paths))
            case .unit: action.resource.name == DebianFiles.postgresUnit && action.effect == .reload
            default: false
            }
        }
        let report = try await execute(actions, hosts: hosts, stop: stop)
        guard report.isComplete else {
            throw RotationFailure("not every certificate arrived; run `cellwright apply` to go on")
        }
        return RotationReport(secrets: [], certificates: wanted.map(\.name))
    }
}

package struct RotationFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package let description: String

    init(_ description: String) { self.description = description }
}

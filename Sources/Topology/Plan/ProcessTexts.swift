/// Texts of a process's files, with their digests: what a plan of many processes spends its time with, and what needs
/// nothing but the process, so that they are made side by side.
struct ProcessTexts: Sendable {
    let configuration: String
    let configurationDigest: String
    let unit: String
    let unitDigest: String
    /// Digests of what the process runs with, by name: a change of any of it restarts the process. Passwords and certificates are not
    /// among it, because they are read for every new connection.
    let inputParts: [String: String]
    /// The ``ContentDigest`` of ``inputParts``.
    let inputs: String

    init(of process: ProcessLayout.Process, _ inputs: DesiredState.Inputs) {
        configuration = process.configuration.json
        configurationDigest = ContentDigest.of(configuration)
        var parts = [
            "binary": inputs.binaries[process.binary] ?? "",
            "configuration": configurationDigest,
            "unit": ContentDigest.of(UnitFile.text(of: process, inputs: "")),
        ]
        for secret in process.secrets where secret.name == .tokenKey {
            parts[secret.path] = inputs.secrets[secret.name] ?? ""
        }
        inputParts = parts
        self.inputs = ContentDigest.of(parts)
        unit = UnitFile.text(of: process, inputs: self.inputs)
        unitDigest = ContentDigest.of(unit)
    }
}

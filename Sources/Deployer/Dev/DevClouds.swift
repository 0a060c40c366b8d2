import FoundationEssentials
import Primitives

/// clouds.yaml: how OpenStack's clients find and enter the cloud.
struct DevClouds: Sendable {
    struct Entry: Sendable {
        var cloud: String
        var user: String
        var project: String
        var password: Secret

        init(cloud: String, user: String, project: String, password: Secret) {
            self.cloud = cloud
            self.user = user
            self.project = project
            self.password = password
        }
    }

    /// What users get, and what administrators get.
    static let userCloud = "cellwright"
    static let administratorCloud = "cellwright-admin"

    private let authURL: String
    private let region: String
    private let entries: [Entry]

    /// - Parameter url: the root of every API, `http://10.77.0.11:8774`.
    init(url: String, region: String, entries: [Entry]) {
        authURL = "\(url.hasSuffix("/") ? String(url.dropLast()) : url)/identity/v3"
        self.region = region
        self.entries = entries
    }

    /// The file's text; it holds passwords, so the file must have mode 0600.
    func text() throws -> String {
        var text = "# Written by cellwright; changes are overwritten.\nclouds:\n"
        for entry in entries {
            text += """
                  \(entry.cloud):
                    auth:
                      auth_url: \(try quoted(authURL))
                      username: \(try quoted(entry.user))
                      password: \(try quoted(entry.password.reveal()))
                      project_name: \(try quoted(entry.project))
                      user_domain_name: Default
                      project_domain_name: Default
                    region_name: \(try quoted(region))
                    identity_api_version: 3

                """
        }
        return text
    }

    /// A JSON string is a YAML string too.
    private func quoted(_ text: String) throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.withoutEscapingSlashes]
        return String(decoding: try encoder.encode(text), as: UTF8.self)
    }
}

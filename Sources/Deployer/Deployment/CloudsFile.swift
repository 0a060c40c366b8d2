import Primitives
import Topology

/// `clouds.yaml`: how OpenStack's clients find the cloud. Holds passwords, so its mode is 0600.
enum CloudsFile {
    struct Login: Sendable {
        var cloud: String
        var user: String
        var project: String
        var password: Secret
    }

    /// - Parameter url: where users reach the API.
    /// - Parameter authority: path of the certificates by which clients verify the API; `nil` for the system's own.
    static func text(_ logins: [Login], url: String, region: String, authority: String? = nil) -> String {
        let entries = logins.map { login in
            """
              \(quoted(login.cloud)):
                auth:
                  auth_url: \(quoted(url + "/identity/v3"))
                  username: \(quoted(login.user))
                  password: \(quoted(login.password.reveal()))
                  project_name: \(quoted(login.project))
                  user_domain_id: default
                  project_domain_id: default
                region_name: \(quoted(region))
                identity_api_version: 3
                interface: public

            """ + (authority.map { "    cacert: \(quoted($0))\n" } ?? "")
        }
        return "# Written by cellwright apply; changes are overwritten.\nclouds:\n" + entries.joined()
    }

    /// As YAML's double-quoted scalar.
    static func quoted(_ text: String) -> String {
        var result = "\""
        for character in text {
            if character == "\"" || character == "\\" { result.append("\\") }
            result.append(character)
        }
        return result + "\""
    }
}

import FoundationEssentials
import Primitives

/// The administrator's last token, kept so that a look need not wait for a password to be hashed. A token that the API no
/// longer takes is of no use to anybody, so nothing here must be right.
struct TokenCache: Sendable {
    let path: String
    let url: String
    /// File with the certificate authority of an API with TLS.
    let authority: String?

    /// A client with the token of last time, if it was for this API.
    func client() -> CloudClient? {
        guard let data = FileManager.default.contents(atPath: path) else { return nil }
        let lines = String(decoding: data, as: UTF8.self).lines
        guard lines.count >= 2, lines[0] == url else { return nil }
        return CloudClient(url: url, token: Secret(lines[1]), authority: authority)
    }

    func keep(_ client: CloudClient) throws {
        try FileSystem.makeFolder(FileSystem.parent(of: path) ?? "/")
        try PrivateFile.write("\(url)\n\(client.token.reveal())\n", to: path)
    }
}

import HTTPTypes
import Hummingbird

/// How clients reach this server, as far as a request tells.
enum BaseURL {
    /// - Parameter publicURL: what the operator said; it beats everything a client sends.
    static func resolve(_ request: Request, publicURL: String?, fallback: String) -> String {
        if let publicURL { return publicURL }
        let headers = request.headers
        let scheme = first(headers[.forwardedProto]).flatMap { ["http", "https"].contains($0) ? $0 : nil } ?? "http"
        guard var host = first(headers[.forwardedHost]) ?? request.head.authority, isHost(host) else { return fallback }
        if let port = first(headers[.forwardedPort]).flatMap(Int.init), (1...65535).contains(port) {
            host = replacePort(of: host, with: port, scheme: scheme)
        }
        var prefix = headers[.forwardedPrefix] ?? ""
        while prefix.hasSuffix("/") { prefix.removeLast() }
        if !prefix.hasPrefix("/") || !prefix.utf8.allSatisfy(isPathByte) { prefix = "" }
        return "\(scheme)://\(host)\(prefix)"
    }

    /// The first of a comma list: what the outermost proxy saw.
    private static func first(_ value: String?) -> String? {
        guard let part = value?.split(separator: ",").first else { return nil }
        let text = part.filter { $0 != " " }
        return text.isEmpty ? nil : text
    }

    /// Names, addresses and ports only, so that a crafted header can't put anything else into our links.
    private static func isHost(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.count <= 270
            && text.utf8.allSatisfy { isWordByte($0) || [0x2E, 0x3A, 0x5B, 0x5D].contains($0) }
    }

    private static func isPathByte(_ byte: UInt8) -> Bool {
        isWordByte(byte) || byte == UInt8(ascii: "/") || byte == UInt8(ascii: ".")
    }

    private static func isWordByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"), UInt8(ascii: "_"):
            true
        default: false
        }
    }

    private static func replacePort(of host: String, with port: Int, scheme: String) -> String {
        var name = host
        let bracket = host.lastIndex(of: "]")
        if let colon = host.lastIndex(of: ":"), bracket.map({ colon > $0 }) ?? true { name = String(host[..<colon]) }
        let isDefault = scheme == "https" ? port == 443 : port == 80
        return isDefault ? name : "\(name):\(port)"
    }
}

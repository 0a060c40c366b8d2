import CloudModel

/// What a text in the file may look like. Each has a rule for people and, where it has one, a pattern for editors.
enum TextFormat: Sendable, Equatable {
    /// A name that becomes part of unit, file and database names.
    case label
    /// A host's name, or a pattern that stands for many: `rack7-[01-40]`.
    case hostPattern
    /// A host named elsewhere in the file.
    case hostReference
    /// IPv4 address or DNS name, or a pattern for as many as the host pattern stands for.
    case addressPattern
    case ipv4
    case cidr
    /// `http://` or `https://`.
    case webURL
    case postgresURL
    case amqpURL
    /// `[user@]host[:port]`.
    case jump
    /// A name that users see: any printable text.
    case title
    /// Free text, possibly empty.
    case prose
    case path
    case environmentName
    case account

    static let titleLimit = 255

    var rule: String {
        switch self {
        case .label: "must be 1 to 63 lower-case letters, digits and inner dashes"
        case .hostPattern:
            "must be a host name of lower-case letters, digits, dashes and dots, with ranges such as [01-40]"
        case .hostReference: "must be the name of a host"
        case .addressPattern: "must be an IPv4 address or a DNS name"
        case .ipv4: "must be an IPv4 address"
        case .cidr: "must be an IPv4 network such as 10.77.0.0/24, with no host bits set and a length from 8 to 30"
        case .webURL: "must be a URL that begins with http:// or https://"
        case .postgresURL: "must be a URL such as postgresql://admin@db.example:5432/postgres, without a password"
        case .amqpURL: "must be a URL such as amqp://admin@mq.example:5672, without a password"
        case .jump: "must be [user@]host[:port]"
        case .title: "must be 1 to 255 printable characters"
        case .prose: "must be at most 255 printable characters"
        case .path: "must be a path"
        case .environmentName: "must be the name of an environment variable"
        case .account: "must be a user name of letters, digits, dashes and underscores"
        }
    }

    /// For the JSON Schema; `nil` where a pattern would say less than ``rule``.
    var pattern: String? {
        switch self {
        case .label: "^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
        case .hostPattern: "^[a-z0-9\\[]([a-z0-9.\\[\\]-]*[a-z0-9\\]])?$"
        case .hostReference: "^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$"
        case .addressPattern: nil
        case .ipv4: "^[0-9]{1,3}(\\.[0-9]{1,3}){3}$"
        case .cidr: "^[0-9]{1,3}(\\.[0-9]{1,3}){3}/[0-9]{1,2}$"
        case .webURL: "^https?://"
        case .postgresURL: "^postgres(ql)?://"
        case .amqpURL: "^amqps?://"
        case .jump: nil
        case .title: nil
        case .prose: nil
        case .path: nil
        case .environmentName: "^[A-Za-z_][A-Za-z0-9_]*$"
        case .account: "^[A-Za-z_][A-Za-z0-9_-]{0,31}$"
        }
    }

    func accepts(_ text: String) -> Bool {
        switch self {
        case .label: CellPath.isValidName(text)
        case .hostPattern: Self.expands(text, to: Self.isHostName)
        case .hostReference: Self.isHostName(text)
        case .addressPattern: Self.expands(text) { IPv4Address($0) != nil || Self.isDNSName($0) }
        case .ipv4: IPv4Address(text) != nil
        case .cidr: IPv4Network(text) != nil
        case .webURL: Self.isURL(text, schemes: ["http", "https"])
        case .postgresURL: Self.isURL(text, schemes: ["postgresql", "postgres"]) && !Self.hasPassword(text)
        case .amqpURL: Self.isURL(text, schemes: ["amqp", "amqps"]) && !Self.hasPassword(text)
        case .jump: Self.isJump(text)
        case .title: (1...Self.titleLimit).contains(text.unicodeScalars.count) && Self.isPrintable(text)
        case .prose: text.unicodeScalars.count <= Self.titleLimit && Self.isPrintable(text)
        case .path: !text.isEmpty && !text.unicodeScalars.contains("\0") && Self.isPrintable(text)
        case .environmentName: Self.isWord(text, extra: "_", limit: 255) && text.first?.isASCIIDigit == false
        case .account: Self.isWord(text, extra: "_-", limit: 32) && text.first?.isASCIIDigit == false
        }
    }

    /// Labels of letters, digits and inner dashes, joined by dots, 63 characters at most so that it is a machine name.
    static func isHostName(_ text: String) -> Bool {
        text.utf8.count <= CellPath.nameLimit
            && text.split(separator: ".", omittingEmptySubsequences: false).allSatisfy {
                CellPath.isValidName(String($0))
            }
    }

    private static func isDNSName(_ text: String) -> Bool {
        let labels = text.lowercased().split(separator: ".", omittingEmptySubsequences: false)
        let isNumber = labels.last?.allSatisfy(\.isASCIIDigit) ?? true
        return text.utf8.count <= 253 && !isNumber && labels.allSatisfy { CellPath.isValidName(String($0)) }
    }

    private static func expands(_ text: String, to isValid: (String) -> Bool) -> Bool {
        guard let names = try? HostRange.expand(text) else { return false }  // the caller reports the rule
        return names.allSatisfy(isValid)
    }

    private static func isURL(_ text: String, schemes: [String]) -> Bool {
        guard let separator = text.firstRange(of: "://"), schemes.contains(String(text[..<separator.lowerBound])) else {
            return false
        }
        let host = text[separator.upperBound...].prefix { $0 != "/" }
        return !host.isEmpty && isPrintable(text) && !text.contains(" ")
    }

    private static func hasPassword(_ text: String) -> Bool {
        guard let separator = text.firstRange(of: "://") else { return false }
        let authority = text[separator.upperBound...].prefix { $0 != "/" }
        guard let at = authority.lastIndex(of: "@") else { return false }
        return authority[..<at].contains(":")
    }

    private static func isJump(_ text: String) -> Bool {
        var rest = text[...]
        if let at = rest.firstIndex(of: "@") {
            guard TextFormat.account.accepts(String(rest[..<at])) else { return false }
            rest = rest[rest.index(after: at)...]
        }
        if let colon = rest.firstIndex(of: ":") {
            guard let port = Int(rest[rest.index(after: colon)...]), (1...65535).contains(port) else { return false }
            rest = rest[..<colon]
        }
        return IPv4Address(rest) != nil || isDNSName(String(rest))
    }

    private static func isWord(_ text: String, extra: String, limit: Int) -> Bool {
        (1...limit).contains(text.utf8.count)
            && text.allSatisfy { $0.isASCII && ($0.isLetter || $0.isNumber) || extra.contains($0) }
    }

    private static func isPrintable(_ text: String) -> Bool {
        text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }
    }
}

import FoundationEssentials
import Synchronization

/// Where a connection's password comes from, looked at anew for every connection, so that a password can be replaced
/// while its users run.
///
/// While it is being replaced there are two: whoever is refused with the first tries the second.
package enum PasswordSource: Sendable, Equatable {
    /// Passwords that are looked at for one connection: the one that is valid and the one that will be.
    package static let limit = 2
    /// Bytes of a password file.
    package static let fileLimit = 64 * 1024

    case fixed(Secret)
    /// A file with a password a line.
    case file(String)
    /// Given from elsewhere, and changed there.
    case box(PasswordBox)

    /// The passwords to try, in order; none when the file can't be read.
    package func values() -> [Secret] {
        switch self {
        case .fixed(let secret): return [secret]
        case .box(let box): return Array(box.values.prefix(Self.limit))
        case .file(let path):
            guard let data = FileManager.default.contents(atPath: path), data.count <= Self.fileLimit,
                let text = String(validating: data, as: UTF8.self)
            else { return [] }
            return text.split(whereSeparator: \.isNewline).prefix(Self.limit).map { Secret(String($0)) }
        }
    }

    /// Which passwords come next for somebody who was refused with all of `tried`: what has appeared since.
    package func values(after tried: [Secret]) -> [Secret] { values().filter { !tried.contains($0) } }
}

/// Passwords that somebody else keeps current.
package final class PasswordBox: Sendable, Equatable {
    private let content: Mutex<[Secret]>

    package init(_ values: [Secret]) { content = Mutex(values) }

    package var values: [Secret] {
        get { content.withLock { $0 } }
        set { content.withLock { $0 = newValue } }
    }

    package static func == (left: PasswordBox, right: PasswordBox) -> Bool { left === right }
}

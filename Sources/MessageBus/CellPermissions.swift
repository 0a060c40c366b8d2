/// What one user may do in one virtual host: regular expressions over the names of exchanges and queues.
///
/// The broker checks *configure* to declare and delete, *write* to publish and *read* to consume. The default exchange
/// goes by the name `amq.default` in these checks. An empty pattern set is `^$`.
package struct CellPermissions: Sendable, Equatable {
    /// Under which routing keys a user may publish to, and bind from, a topic exchange that it may write or read at all.
    package struct Topic: Sendable, Equatable {
        package let exchange: String
        package let write: String
        package let read: String
    }

    package let configure: String
    package let write: String
    package let read: String
    package let topics: [Topic]

    private static let nothing = "^$"

    /// A cell's own control plane (supervisor, conductor): all of its virtual host.
    package static let controlPlane = CellPermissions(configure: ".*", write: ".*", read: ".*", topics: [])

    /// A parent in its child's virtual host: calls the supervisor and reads the events. It declares nothing, and can
    /// publish to no exchange but the default one, which calls go through. Answers to its calls need no permission.
    package static let parent = CellPermissions(
        configure: nothing,
        write: "^amq\\.default$",
        read: "^\(escaped(CellTopology.parentQueue))$",
        topics: [])

    /// A host's agent: reads its own queue, and reports under its own key.
    package static func host(_ name: String) -> CellPermissions {
        CellPermissions(
            configure: nothing,
            write: "^\(escaped(CellTopology.reportsExchange))$",
            read: "^\(escaped(CellTopology.hostQueue(name)))$",
            topics: [
                Topic(
                    exchange: CellTopology.reportsExchange,
                    write: "^\(escaped("host.\(CellTopology.hostKey(name))"))\\..*",
                    read: nothing)
            ])
    }

    /// The name of a host's user.
    package static func hostUser(_ name: String) -> String { "host.\(name)" }

    /// How a host is spelled in its permissions.
    package static func hostPattern(_ name: String) -> String { escaped(CellTopology.hostKey(name)) }

    /// Regular expression that matches just this text.
    static func escaped(_ text: String) -> String {
        // Bytes are looked at quicker than characters: hosts are many.
        guard text.utf8.allSatisfy({ $0 < 0x80 }) else { return escapedCharacters(text) }
        return String(unsafeUninitializedCapacity: 2 * text.utf8.count) { result in
            var count = 0
            for byte in text.utf8 {
                if !isPlain(byte) {
                    result[count] = UInt8(ascii: "\\")
                    count += 1
                }
                result[count] = byte
                count += 1
            }
            return count
        }
    }

    private static func escapedCharacters(_ text: String) -> String {
        var result = ""
        for character in text {
            let isPlain = character.asciiValue.map(isPlain) ?? (character.isLetter || character.isNumber)
            if !isPlain { result.append("\\") }
            result.append(character)
        }
        return result
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"):
            true
        default: false
        }
    }
}

import CellProtocol
import CloudModel
import Crypto
import FoundationEssentials
import Primitives

/// The services of a cloud as Nova names them: our parts under the names that clients know.
struct ServiceList: Sendable {
    struct Entry: Sendable {
        enum Binary: String, Sendable {
            case scheduler = "nova-scheduler"
            case conductor = "nova-conductor"
            case compute = "nova-compute"
        }
        var id: UUID
        var binary: Binary
        var host: String
        var zone: String
        var isEnabled: Bool
        var isUp: Bool
        /// Its cell answers; what is known of it is old otherwise.
        var isReachable: Bool
        /// When it was last known to be as it is: now, while it is up.
        var updatedAt: Date
        var disabledReason: String?
        /// Of a compute host.
        var record: HostRecord?

        /// The number that clients before 2.53 know it by.
        var number: Int64 { NumberID.make(id) }
    }

    static let internalZone = "internal"

    let entries: [Entry]

    init(cells: [CellStatus], hosts: [HostRecord], now: Date) {
        let down = Set(cells.filter { $0.health == .down }.map(\.cell))
        var entries = [
            Entry(
                id: Self.id("scheduler", "/"), binary: .scheduler, host: "root", zone: Self.internalZone,
                isEnabled: true, isUp: true, isReachable: true, updatedAt: now)
        ]
        for cell in cells.sorted(by: { $0.cell < $1.cell }) where cell.isLeaf {
            let isReachable = cell.health != .down
            let isUp = isReachable && (cell.heartbeat?.conductorsUp ?? 0) > 0
            entries.append(
                Entry(
                    id: Self.id("conductor", cell.cell.description), binary: .conductor, host: cell.cell.name,
                    zone: Self.internalZone, isEnabled: true, isUp: isUp, isReachable: isReachable,
                    updatedAt: isUp ? now : cell.heartbeat?.sentAt ?? cell.since))
        }
        for host in hosts.sorted(by: { $0.name < $1.name }) {
            let isReachable = !down.contains(host.cell)
            let isUp = host.isUp && isReachable
            entries.append(
                Entry(
                    id: host.id.uuid, binary: .compute, host: host.name.text, zone: host.availabilityZone,
                    isEnabled: host.isEnabled, isUp: isUp, isReachable: isReachable,
                    updatedAt: isUp ? now : host.lastSeenAt, disabledReason: host.disabledReason, record: host))
        }
        self.entries = entries
    }

    /// Services without a row of their own keep their id by being named the same.
    private static func id(_ kind: String, _ place: String) -> UUID { NamedID.make("cellwright \(kind) \(place)") }
}

/// A UUID that follows from a text.
enum NamedID {
    static func make(_ text: String) -> UUID {
        let bytes = Array(SHA256.hash(data: Data(text.utf8)))
        return UUID(
            uuid: (
                bytes[0], bytes[1], bytes[2], bytes[3], bytes[4], bytes[5], bytes[6] & 0x0f | 0x50, bytes[7],
                bytes[8] & 0x3f | 0x80, bytes[9], bytes[10], bytes[11], bytes[12], bytes[13], bytes[14], bytes[15]
            ))
    }
}

/// Clients before 2.53 know services and hypervisors by number: 31 bits of the UUID.
enum NumberID {
    static func make(_ id: UUID) -> Int64 {
        let bytes = id.uuid
        return Int64(bytes.0 & 0x7f) << 24 | Int64(bytes.1) << 16 | Int64(bytes.2) << 8 | Int64(bytes.3)
    }
}
